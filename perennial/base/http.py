"""Calling others: bounded in time and in size, no redirects, and nothing secret in a log or an error.

Some stores want their key in the address. What such an address holds travels as `secret_path`: the logs of the HTTP library show the public
`address` alone, and the errors raised here name the one we called, never where.
"""

import asyncio
import ssl
from collections.abc import Mapping
from functools import cache
from typing import TypeVar

import httpx
import msgspec

from perennial.base.errors import Invalid, Unavailable
from perennial.base.reading import answer_of, decode
from perennial.base.secrets import Secret, conceal, without_credentials
from perennial.base.value import value

LARGEST_ANSWER = 16 * 1024 * 1024
LONGEST = 30.0  # seconds, for the whole of a call
_TIMEOUT = httpx.Timeout(20, connect=5)

T = TypeVar("T")


@cache
def tls() -> ssl.SSLContext:
    """Whom we trust, read once: reading it takes longer than most calls."""
    return httpx.create_ssl_context()


@value
class Answer:
    """What came back, whatever its status. `who` answered is named in errors."""

    who: str
    status: int
    content: bytes

    @property
    def is_success(self) -> bool:
        return 200 <= self.status < 300

    def decode(self, kind: type[T]) -> T:
        """The answer as JSON of this shape, field by field. `Unavailable` where what is needed of it is not there."""
        with answer_of(self.who):
            return decode(self.content, kind)

    def unavailable(self) -> Unavailable:
        return Unavailable(f"{self.who} answered {self.status}")


def concealed(refusal: bytes, authorization: str | None) -> bytes:
    """The words of a refusal, without the secrets in use and without the credentials the request was sent with."""
    sent = Secret((authorization or "").rpartition(" ")[2])
    words = refusal.decode(errors="surrogateescape")
    hidden = conceal(conceal(words, [sent]))
    return refusal if hidden == words else hidden.encode(errors="surrogateescape")


class Http:
    """One pool of connections to one party. Close it when the process ends."""

    def __init__(self, who: str) -> None:
        self._who = who
        self._client = httpx.AsyncClient(
            verify=tls(), timeout=_TIMEOUT, follow_redirects=False, headers={"Accept": "application/json", "User-Agent": "perennial"}
        )

    async def close(self) -> None:
        await self._client.aclose()

    async def call(
        self,
        method: str,
        address: str,
        *,
        secret_path: str | None = None,
        query: Mapping[str, str] | None = None,
        headers: Mapping[str, str] | None = None,
        json: object = None,
        form: Mapping[str, str] | None = None,
        largest: int = LARGEST_ANSWER,
    ) -> Answer:
        """One request. `secret_path` (path and query, quoted) is asked for instead of the address's own. Raises `Unavailable`."""
        try:
            request = self._client.build_request(
                method,
                address,
                params=query,
                content=None if json is None else msgspec.json.encode(json),
                data=form,
                headers={**(headers or {}), **({} if json is None else {"Content-Type": "application/json"})},
                extensions={} if secret_path is None else {"target": secret_path.encode("ascii")},
            )
            async with asyncio.timeout(LONGEST):
                response = await self._client.send(request, stream=True)
                try:
                    content = await self._content(response, largest)
                finally:
                    await response.aclose()
        except (httpx.InvalidURL, httpx.UnsupportedProtocol):
            raise Invalid(f"{without_credentials(address)!r} is not an address that can be called", param="api_base_url") from None
        except UnicodeError:  # its text repeats what was to be sent
            raise Invalid(f"a key for {self._who} holds characters that no request can carry; paste it again", param="secrets") from None
        except (httpx.HTTPError, TimeoutError) as error:
            raise Unavailable(f"{self._who} did not answer: {type(error).__name__}") from None  # the error may hold the address
        if not response.is_success:  # its words are shown, and may repeat what was sent
            content = concealed(content, (headers or {}).get("Authorization"))
        return Answer(who=self._who, status=response.status_code, content=content)

    async def _content(self, response: httpx.Response, largest: int) -> bytes:
        content = bytearray()
        async for chunk in response.aiter_bytes():
            content += chunk
            if len(content) > largest:
                raise Unavailable(f"{self._who} answered more than the {largest} bytes we read")
        return bytes(content)
