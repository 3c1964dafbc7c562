"""Calls addresses that strangers gave: public ones only.

The address of a receiver comes from a project's owner, who need not be the operator, and must not become a way into the operator's network.
The check is made on the very address that is connected to, after the name is resolved, so no spelling of an address and no name that changes
its mind between check and connect gets past it. TLS and the Host header still go by the name.
"""

import asyncio
import ssl
from collections.abc import AsyncIterable, Iterable, Mapping, Sequence
from datetime import timedelta
from socket import SOCK_STREAM, gaierror

import httpcore
import httpx

from perennial.base.address import is_public
from perennial.base.http import tls
from perennial.base.value import value

TIMEOUT = timedelta(seconds=15)  # until the status; the vendor waits 60, but then one slow receiver would hold up more of the others
REST_TIMEOUT = 2.0  # seconds, for what comes after the status
CONNECT_TIMEOUT = 5.0  # seconds, for each address
MOST_ADDRESSES = 4  # of one name that are tried
MOST_CONNECTIONS = 100
LONGEST_ANSWER = 64 * 1024  # what comes after is left unread, and the connection with it

Headers = Sequence[tuple[bytes, bytes]]


class AddressRefused(httpcore.ConnectError):
    """The name leads into a network that is not the public internet."""


class Unanswered(Exception):
    """Nobody answered. The sentence is for a person, and shows of the address the host at most."""


@value
class Reply:
    """What was answered. The names of `headers` are in lower case; `content` is cut at a bound, or where the answer stalled."""

    status: int
    headers: Mapping[str, str]
    content: bytes


class PublicHttp:
    """Follows no redirects, uses no proxy, retries nothing. `trust` replaces the usual certificate authorities."""

    def __init__(self, *, allow_internal: bool, timeout: timedelta = TIMEOUT, trust: ssl.SSLContext | None = None) -> None:
        self._timeout = timeout.total_seconds()
        self._pool = httpcore.AsyncConnectionPool(
            ssl_context=trust or tls(),
            max_connections=MOST_CONNECTIONS,
            max_keepalive_connections=20,
            keepalive_expiry=5,
            network_backend=_PublicNetwork(allow_internal=allow_internal),
        )

    async def call(self, method: str, url: str, *, headers: Headers, body: bytes) -> Reply:
        """One attempt. Raises `Unanswered`, whatever kept the answer away. A message that could not be put on the wire at all raises besides."""
        try:
            return await self._call(method, url, headers, body)
        except TimeoutError:
            raise Unanswered(f"no answer within {self._timeout:g} seconds") from None
        except AddressRefused as error:
            raise Unanswered(str(error)) from None
        except httpcore.TimeoutException:
            raise Unanswered("no connection in time") from None
        except httpcore.ConnectError as error:
            raise Unanswered(f"no connection: {error}"[:300]) from None
        except (httpcore.NetworkError, httpcore.RemoteProtocolError) as error:
            raise Unanswered(f"the connection broke before an answer ({type(error).__name__})") from None
        except (httpx.InvalidURL, httpcore.UnsupportedProtocol, UnicodeError):
            raise Unanswered("the url cannot be called; change it") from None

    async def close(self) -> None:
        await self._pool.aclose()

    async def _call(self, method: str, url: str, headers: Headers, body: bytes) -> Reply:
        parsed = httpx.URL(url)
        target = httpcore.URL(scheme=parsed.raw_scheme, host=parsed.raw_host, port=parsed.port, target=parsed.raw_path)
        sent = [(b"Host", parsed.netloc), (b"Content-Length", str(len(body)).encode()), *headers]
        async with asyncio.timeout(self._timeout):
            response = await self._pool.handle_async_request(httpcore.Request(method, target, headers=sent, content=body))
        try:
            content = await _take_in(response)
        finally:
            await response.aclose()
        named = {name.decode("latin-1").lower(): text.decode("latin-1") for name, text in response.headers}
        return Reply(status=response.status, headers=named, content=content)


async def _take_in(response: httpcore.Response) -> bytes:
    """What goes wrong here changes nothing: the receiver has said its status."""
    assert isinstance(response.stream, AsyncIterable)
    taken = bytearray()
    try:
        async with asyncio.timeout(REST_TIMEOUT):
            async for chunk in response.stream:
                taken += chunk
                if len(taken) > LONGEST_ANSWER:
                    break
    except (TimeoutError, httpcore.NetworkError, httpcore.RemoteProtocolError):
        pass
    return bytes(taken[:LONGEST_ANSWER])


class _PublicNetwork(httpcore.AsyncNetworkBackend):
    """Resolves, checks, and connects to the address it checked."""

    def __init__(self, *, allow_internal: bool) -> None:
        self._allow_internal = allow_internal
        self._network = httpcore.AnyIOBackend()

    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[httpcore.SOCKET_OPTION] | None = None,
    ) -> httpcore.AsyncNetworkStream:
        trouble: httpcore.ConnectError | httpcore.ConnectTimeout = httpcore.ConnectError(f"{host} has no address")
        for address in (await self._addresses(host, port))[:MOST_ADDRESSES]:
            try:
                return await self._network.connect_tcp(
                    address, port, timeout=timeout or CONNECT_TIMEOUT, local_address=local_address, socket_options=socket_options
                )
            except (httpcore.ConnectError, httpcore.ConnectTimeout) as error:
                trouble = error
        raise trouble

    async def _addresses(self, host: str, port: int) -> list[str]:
        try:
            found = await asyncio.get_running_loop().getaddrinfo(host, port, type=SOCK_STREAM)
        except gaierror as error:
            raise httpcore.ConnectError(f"{host} does not resolve") from error
        addresses = list(dict.fromkeys(str(entry[4][0]) for entry in found))
        allowed = [address for address in addresses if self._allow_internal or is_public(address)]
        if addresses and not allowed:
            raise AddressRefused(f"{host} leads to an address that is not public ({addresses[0]}); receivers must be on the public internet")
        return allowed

    async def sleep(self, seconds: float) -> None:
        await self._network.sleep(seconds)
