"""Calls webhook receivers: signed by Standard Webhooks, to public addresses only.

A receiver's URL comes from a project's owner, who need not be the operator, and must not become a way into the operator's network. The
check is made on the very address that is connected to, after the name is resolved, so no spelling of an address and no name that changes
its mind between check and connect gets past it. TLS and the Host header still go by the name.
"""

import asyncio
import ssl
from collections.abc import AsyncIterable, Iterable
from datetime import timedelta
from socket import SOCK_STREAM, gaierror

import httpcore
import httpx
import msgspec
from standardwebhooks import Webhook

import perennial
from perennial.base.address import is_public
from perennial.base.time import to_ms
from perennial.events.model import Answer, Message

TIMEOUT = timedelta(seconds=15)  # until the status; the vendor waits 60, but then one slow receiver would hold up more of the others
REST_TIMEOUT = 2.0  # seconds, for what comes after the status
CONNECT_TIMEOUT = 5.0  # seconds, for each address
MOST_ADDRESSES = 4  # of one name that are tried
MOST_CONNECTIONS = 100
LONGEST_BODY = 64 * 1024  # of an answer, whose text nobody reads: it is taken in so that the connection can be used again


class AddressRefused(httpcore.ConnectError):
    """The name leads into a network that is not the public internet."""


class WebhookSender:
    """Follows no redirects, uses no proxy, retries nothing: every attempt counts. `trust` replaces the usual certificate authorities."""

    def __init__(self, *, allow_internal: bool, timeout: timedelta = TIMEOUT, trust: ssl.SSLContext | None = None) -> None:
        self._timeout = timeout.total_seconds()
        self._pool = httpcore.AsyncConnectionPool(
            ssl_context=trust or httpx.create_ssl_context(),
            max_connections=MOST_CONNECTIONS,
            max_keepalive_connections=20,
            keepalive_expiry=5,
            network_backend=_PublicNetwork(allow_internal=allow_internal),
        )

    async def send(self, message: Message) -> Answer:
        """One attempt. Whatever the receiver does is a value. A message that could not be put on the wire at all raises."""
        try:
            return await self._post(message)
        except TimeoutError:
            return Answer(error=f"no answer within {self._timeout:g} seconds")
        except AddressRefused as error:
            return Answer(error=str(error))
        except httpcore.TimeoutException:
            return Answer(error="no connection in time")
        except httpcore.ConnectError as error:
            return Answer(error=f"no connection: {error}"[:300])
        except (httpcore.NetworkError, httpcore.RemoteProtocolError) as error:
            return Answer(error=f"the connection broke before an answer ({type(error).__name__})")
        except (httpx.InvalidURL, httpcore.UnsupportedProtocol, UnicodeError):
            return Answer(error="the url cannot be called; change it")

    async def close(self) -> None:
        await self._pool.aclose()

    async def _post(self, message: Message) -> Answer:
        url, body = httpx.URL(message.url), encode(message)
        target = httpcore.URL(scheme=url.raw_scheme, host=url.raw_host, port=url.port, target=url.raw_path)
        sent = [(b"Host", url.netloc), (b"Content-Length", str(len(body)).encode()), *headers(message, body)]
        async with asyncio.timeout(self._timeout):
            response = await self._pool.handle_async_request(httpcore.Request("POST", target, headers=sent, content=body))
        try:
            await _take_in(response)
        finally:
            await response.aclose()
        return Answer(status=response.status)


def encode(message: Message) -> bytes:
    return msgspec.json.encode({"api_version": "1.0", "event": message.event})


def headers(message: Message, body: bytes) -> list[tuple[bytes, bytes]]:
    """As Standard Webhooks 1.0 has them, and the vendor's Authorization, verbatim."""
    signature = Webhook(message.signing_secret).sign(message.message_id, message.sent_at, body.decode())
    given = [] if message.authorization_header is None else [(b"Authorization", message.authorization_header.encode())]
    return [
        (b"Content-Type", b"application/json"),
        (b"User-Agent", f"Perennial/{perennial.__version__}".encode()),
        (b"webhook-id", message.message_id.encode()),
        (b"webhook-timestamp", str(to_ms(message.sent_at) // 1000).encode()),
        (b"webhook-signature", signature.encode()),
        *given,
    ]


async def _take_in(response: httpcore.Response) -> None:
    """What goes wrong here changes nothing: the receiver has said its status."""
    assert isinstance(response.stream, AsyncIterable)
    taken = 0
    try:
        async with asyncio.timeout(REST_TIMEOUT):
            async for chunk in response.stream:
                taken += len(chunk)
                if taken > LONGEST_BODY:
                    return
    except (TimeoutError, httpcore.NetworkError, httpcore.RemoteProtocolError):
        return


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
