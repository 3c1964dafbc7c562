"""Calls addresses that strangers gave: public ones only, and none can take more than its share of time, connections or bytes.

The address of a receiver comes from a project's owner, who need not be the operator, and must not become a way into the operator's network.
The check is made on the very address that is connected to, after the name is resolved, so no spelling of an address and no name that changes
its mind between check and connect gets past it. TLS and the Host header still go by the name.

A receiver that hangs, at any stage, costs one connection until the attempt's time is over: names are resolved each on its own
(`base.resolving`), each address has connections of its own, and what is read before the status is bounded in bytes as well as in time.
"""

import asyncio
import ssl
from collections import OrderedDict
from collections.abc import AsyncIterable, Iterable, Mapping, Sequence
from contextvars import ContextVar
from datetime import timedelta
from socket import gaierror
from typing import Any

import httpcore
import httpx

from perennial.base.address import is_public
from perennial.base.http import tls
from perennial.base.resolving import Resolver
from perennial.base.time import perf_counter
from perennial.base.value import value

TIMEOUT = timedelta(seconds=15)  # until the status; the vendor waits 60, but then one slow receiver would hold up more of the others
REST_TIMEOUT = 2.0  # seconds, for what comes after the status
CONNECT_TIMEOUT = 5.0  # seconds, for each address
MOST_ADDRESSES = 4  # of one name that are tried
MOST_CONNECTIONS = 1000  # to one scheme, host and port: who calls has bounds of their own, and strangers may share a host
KEPT_OPEN_FOR = 5.0  # seconds, after the last use
LONGEST_HEAD = 256 * 1024  # what is read until the status and the headers are there: a receiver may say "100 Continue" for ever
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


class _Connections:
    """To one scheme, host and port. A pool shared by all would look through every connection for each request, the hanging ones too."""

    __slots__ = ("pool", "under_way", "used_at")

    def __init__(self, context: ssl.SSLContext, network: "_PublicNetwork") -> None:
        self.pool = httpcore.AsyncConnectionPool(
            ssl_context=context,
            max_connections=MOST_CONNECTIONS,
            max_keepalive_connections=10,
            keepalive_expiry=KEPT_OPEN_FOR,
            network_backend=network,
        )
        self.under_way = 0
        self.used_at = 0.0


class PublicHttp:
    """Follows no redirects, uses no proxy, retries nothing. `trust` replaces the usual certificate authorities."""

    def __init__(self, *, allow_internal: bool, timeout: timedelta = TIMEOUT, trust: ssl.SSLContext | None = None) -> None:
        self._timeout = timeout.total_seconds()
        self._trust = trust or tls()
        self._network = _PublicNetwork(allow_internal=allow_internal)
        self._connections: OrderedDict[tuple[bytes, bytes, int | None], _Connections] = OrderedDict()  # the longest unused first

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
        while self._connections:
            _, connections = self._connections.popitem()
            await connections.pool.aclose()
        await self._network.close()

    async def _call(self, method: str, url: str, headers: Headers, body: bytes) -> Reply:
        parsed = httpx.URL(url)
        target = httpcore.URL(scheme=parsed.raw_scheme, host=parsed.raw_host, port=parsed.port, target=parsed.raw_path)
        sent = [(b"Host", parsed.netloc), (b"Content-Length", str(len(body)).encode()), *headers]
        connections = await self._connections_to(target)
        connections.under_way += 1
        try:
            response = await self._ask(connections.pool, httpcore.Request(method, target, headers=sent, content=body))
            try:
                content = await _take_in(response)
            finally:
                await response.aclose()
        finally:
            connections.under_way -= 1
            connections.used_at = perf_counter()
        named = {name.decode("latin-1").lower(): text.decode("latin-1") for name, text in response.headers}
        return Reply(status=response.status, headers=named, content=content)

    async def _ask(self, pool: httpcore.AsyncConnectionPool, request: httpcore.Request) -> httpcore.Response:
        allowance = _ALLOWANCE.set([LONGEST_HEAD])
        try:
            async with asyncio.timeout(self._timeout):
                return await pool.handle_async_request(request)
        finally:
            _ALLOWANCE.reset(allowance)

    async def _connections_to(self, target: httpcore.URL) -> _Connections:
        """Those that nobody has used for a while are closed on the way."""
        place = target.scheme, target.host, target.port
        found = self._connections.get(place)
        if found is None:
            found = self._connections[place] = _Connections(self._trust, self._network)
        self._connections.move_to_end(place)
        found.used_at = perf_counter()
        while (oldest := next(iter(self._connections.items())))[1].used_at < found.used_at - KEPT_OPEN_FOR:
            key, unused = oldest
            if unused.under_way:
                self._connections.move_to_end(key)
                unused.used_at = found.used_at
                continue
            del self._connections[key]
            await unused.pool.aclose()
        return found


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


# How many bytes may still be read until the answer's head is there; a list of one, as it is counted down. None: the reader has its own bound.
_ALLOWANCE: ContextVar[list[int] | None] = ContextVar("allowance", default=None)


class _Bounded(httpcore.AsyncNetworkStream):
    """Counts what is read while a head is waited for."""

    def __init__(self, stream: httpcore.AsyncNetworkStream) -> None:
        self._stream = stream

    async def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        taken = await self._stream.read(max_bytes, timeout)
        if (allowance := _ALLOWANCE.get()) is not None:
            allowance[0] -= len(taken)
            if allowance[0] < 0:
                raise httpcore.ReadError(f"more than {LONGEST_HEAD} bytes before the end of the headers")
        return taken

    async def write(self, buffer: bytes, timeout: float | None = None) -> None:
        await self._stream.write(buffer, timeout)

    async def aclose(self) -> None:
        await self._stream.aclose()

    async def start_tls(
        self, ssl_context: ssl.SSLContext, server_hostname: str | None = None, timeout: float | None = None
    ) -> httpcore.AsyncNetworkStream:
        return _Bounded(await self._stream.start_tls(ssl_context, server_hostname, timeout))

    def get_extra_info(self, info: str) -> Any:
        return self._stream.get_extra_info(info)


class _PublicNetwork(httpcore.AsyncNetworkBackend):
    """Resolves, checks, and connects to the address it checked."""

    def __init__(self, *, allow_internal: bool) -> None:
        self._allow_internal = allow_internal
        self._network = httpcore.AnyIOBackend()
        self._resolver = Resolver()

    async def close(self) -> None:
        await self._resolver.close()

    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[httpcore.SOCKET_OPTION] | None = None,
    ) -> httpcore.AsyncNetworkStream:
        trouble: httpcore.ConnectError | httpcore.ConnectTimeout = httpcore.ConnectError(f"{host} has no address")
        for address in (await self._addresses(host))[:MOST_ADDRESSES]:
            try:
                connected = await self._network.connect_tcp(
                    address, port, timeout=timeout or CONNECT_TIMEOUT, local_address=local_address, socket_options=socket_options
                )
                return _Bounded(connected)
            except (httpcore.ConnectError, httpcore.ConnectTimeout) as error:
                trouble = error
        raise trouble

    async def _addresses(self, host: str) -> list[str]:
        try:
            addresses = await self._resolver.resolve(host)
        except gaierror as error:
            raise httpcore.ConnectError(f"{host} does not resolve") from error
        allowed = [address for address in addresses if self._allow_internal or is_public(address)]
        if addresses and not allowed:
            raise AddressRefused(f"{host} leads to an address that is not public ({addresses[0]}); receivers must be on the public internet")
        return allowed

    async def sleep(self, seconds: float) -> None:
        await self._network.sleep(seconds)
