"""Bodies: compressed or not, whole or never, whatever is in them; a wrong text is refused by its field's name."""

import asyncio
import gzip
import zlib
from collections.abc import AsyncIterator
from typing import Any

import msgspec
import pytest

from perennial.api import incoming
from perennial.api.incoming import MOST_BODY, Incoming
from perennial.base.errors import Invalid, Unavailable
from tests.asking import ask
from tests.world import House, World

ATTRIBUTES = {"attributes": {"colour": {"value": "green"}}}
PATH = b"/v1/subscribers/ada/attributes"


@pytest.mark.parametrize(
    ("encoding", "compress"),
    [("gzip", gzip.compress), ("GZIP", gzip.compress), ("x-gzip", gzip.compress), ("deflate", zlib.compress), ("identity", bytes)],
)
async def test_compressed_bodies_are_read(house: House, world: World, encoding: str, compress: Any) -> None:
    body = compress(msgspec.json.encode(ATTRIBUTES))
    answer = await ask(house.front, "POST", PATH, headers=world.secret | {"Content-Encoding": encoding, "Content-Length": str(len(body))}, body=body)
    assert answer.status == 200, answer.body
    assert msgspec.json.decode(answer.body)["subscriber"]["subscriber_attributes"]["colour"]["value"] == "green"


async def test_v2_reads_compressed_bodies_and_its_keys_know_them(house: House, world: World) -> None:
    headers = world.secret | {"Content-Encoding": "gzip", "Content-Type": "application/json", "Idempotency-Key": "one"}
    path, body = f"/v2/projects/{world.project_id}/entitlements".encode(), gzip.compress(b'{"lookup_key":"gold","display_name":"Gold"}')
    first, again = [await ask(house.front, "POST", path, headers=headers, body=body) for _ in range(2)]
    assert (first.status, again.status, again.headers["idempotent-replayed"]) == (201, 201, "true")


@pytest.mark.parametrize(
    ("encoding", "body", "status"),
    [
        ("br", b"{}", 415),
        ("gzip, gzip", gzip.compress(b"{}"), 415),
        ("zstd", b"{}", 415),
        ("gzip", b"{}", 400),
        ("gzip", gzip.compress(b"{}")[:-9], 400),
        ("gzip", gzip.compress(b"{}") * 2, 400),
        ("gzip", gzip.compress(b"a" * (MOST_BODY + 1)), 413),
        ("deflate", zlib.compress(b"[" * 500_000_000, 1), 413),
    ],
    ids=range(8),
)
async def test_what_cannot_be_inflated_is_refused(house: House, world: World, encoding: str, body: bytes, status: int) -> None:
    for path, headers in ((PATH, world.sdk()), (b"/v2/projects", world.secret), (b"/hooks/stripe/" + world.app_ids["rc_billing"].encode(), {})):
        if len(body) > MOST_BODY:
            body = body[: MOST_BODY - 1]  # inflates to hundreds of megabytes all the same
        answer = await ask(house.front, "POST", path, headers={**headers, "Content-Encoding": encoding}, body=body)
        assert answer.status == status, (path, answer.body)


RECEIPT = {"app_user_id": "ada", "fetch_token": "test_x", "product_id": "coins"}


@pytest.mark.parametrize(
    ("path", "body", "param"),
    [
        ("/v1/receipts", b'{"app_user_id":"ada","fetch_token":"a\xff"}', "fetch_token"),
        ("/v1/receipts", b'{"app_user_id":"ada","fetch_token":"x","product_ids":["a","\xed\xa0\x80"]}', "product_ids[1]"),
        ("/v1/receipts", b'\xff{"app_user_id":"ada"}', "the body"),
        ("/v1/receipts", RECEIPT | {"fetch_token": "test_\x00"}, "fetch_token"),
        ("/v1/receipts", RECEIPT | {"product_id": "\x00"}, "product_id"),
        ("/v1/receipts", RECEIPT | {"product_ids": ["coins", "a\x00b"]}, "product_ids[1]"),
        ("/v1/receipts", RECEIPT | {"presented_offering_identifier": "\x00"}, "presented_offering_identifier"),
        ("/v1/receipts", RECEIPT | {"store_user_id": "\x00"}, "store_user_id"),
        ("/v1/receipts", RECEIPT | {"app_transaction": "\x00"}, "app_transaction"),
        ("/v1/receipts", b'{"app_user_id":"ada","fetch_token":"\\ud83d"}', "fetch_token"),
        ("/v1/receipts", b'{"app_user_id":"ada","fetch_token":"\\udc00 \\ud83d"}', "fetch_token"),
        ("/v1/subscribers/identify", {"app_user_id": "ada", "new_app_user_id": "\x00"}, "new_app_user_id"),
        ("/v1/offers", {"app_user_id": "ada", "generate_offers": [{"offer_id": "x", "product_id": "\x00"}]}, "generate_offers[0].product_id"),
        (
            "/v1/customercenter/support/create-ticket",
            {"app_user_id": "ada", "customer_email": "a@b", "issue_description": "\x00"},
            "issue_description",
        ),
        ("/v1/subscribers/redeem_purchase", {"redemption_token": "\x00", "app_user_id": "ada"}, "redemption_token"),
        ("/v2/projects/{}/entitlements", {"lookup_key": "a\x00", "display_name": "A"}, "lookup_key"),
        ("/v2/projects/{}/entitlements", b'{"lookup_key":"a","display_name":"\\uDC00"}', "display_name"),
        ("/v2/projects/{}/entitlements", b'{"lookup_key":"a","display_name":"\xc0\x80"}', "display_name"),
        ("/v2/projects/{}/offerings", {"lookup_key": "o", "display_name": "O", "metadata": {"a": [{"b": "\x00"}]}}, "metadata.a[0].b"),
        ("/v2/projects/{}/offerings", {"lookup_key": "o", "display_name": "O", "metadata": {"a\x00": 1}}, "metadata"),
    ],
)
async def test_a_text_that_cannot_be_kept_is_refused_by_its_name(house: House, world: World, path: str, body: Any, param: str) -> None:
    raw = body if isinstance(body, bytes) else msgspec.json.encode(body)
    key = world.secret if path.startswith("/v2") else world.sdk()
    address = path.format(world.project_id).encode()
    answer = await ask(house.front, "POST", address, headers=key | {"Content-Type": "application/json"}, body=raw)
    told = msgspec.json.decode(answer.body)
    assert answer.status == 400, told
    assert told["message"].startswith(param), told
    assert not path.startswith("/v2") or told["param"] == param


async def test_an_escaped_backslash_is_no_escape(house: House, world: World) -> None:
    body = b'{"lookup_key":"a","display_name":"\\\\u0000 \\\\ud83d"}'
    answer = await ask(
        house.front,
        "POST",
        f"/v2/projects/{world.project_id}/entitlements".encode(),
        headers=world.secret | {"Content-Type": "application/json"},
        body=body,
    )
    assert (answer.status, msgspec.json.decode(answer.body)["display_name"]) == (201, "\\u0000 \\ud83d")


async def test_a_purchase_is_not_refused_for_what_an_attribute_holds(house: House, world: World) -> None:
    body = (
        b'{"app_user_id":"ada","fetch_token":"test_one","product_id":"coins","attributes":'
        b'{"half":{"value":"cut \\ud83d"},"nul":{"value":"a\\u0000"},"whole":{"value":"\\ud83d\\ude00"}}}'
    )
    answer = await ask(house.front, "POST", b"/v1/receipts", headers=world.sdk(), body=body)
    told = msgspec.json.decode(answer.body)
    assert answer.status == 200, told
    assert list(told["subscriber"]["non_subscriptions"]) == ["coins"]
    assert [one["key_name"] for one in told["attributes_error_response"]["attribute_errors"]] == ["nul"]
    seen = msgspec.json.decode((await ask(house.front, "GET", b"/v1/subscribers/ada", headers=world.secret)).body)["subscriber"]
    assert {name: one["value"] for name, one in seen["subscriber_attributes"].items()} == {"half": "cut ?", "whole": "😀"}


# Slowly, in part, too much ----------------------------------------------------------------------------------------------------


async def pieces(*content: bytes) -> AsyncIterator[bytes]:
    for one in content:
        yield one


async def test_a_body_that_never_ends_is_given_up(house: House, world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(incoming, "GRACE", 0.2)
    for path, headers in ((b"/v1/receipts", world.sdk()), (b"/v2/projects", world.secret), (b"/hooks/stripe/x", {}), (b"/nowhere", {})):
        answer = await ask(house.front, "POST", path, headers={**headers, "Content-Length": "1000"}, body=pieces(b"{"))
        assert (answer.status, answer.headers["retry-after"] in "12345") == (503, True), (path, answer.body)


async def test_more_than_a_little_is_read_only_of_those_who_may_send_it(house: House, world: World) -> None:
    large = {"Content-Length": str(MOST_BODY)}
    for path, headers, status in (
        (b"/v1/receipts", {}, 401),
        (b"/v1/receipts", {"Authorization": "Bearer nobody"}, 401),
        (b"/v2/projects", {"Authorization": "Bearer nobody"}, 401),
        (b"/v2/projects", {"Authorization": "Bearer atk_nobody"}, 401),
        (b"/hooks/stripe/nobody", {}, 404),
        (b"/oauth2/token", {}, 413),
        (b"/nowhere", world.secret, 413),
    ):
        assert (await ask(house.front, "POST", path, headers={**headers, **large}, body=pieces())).status == status, path
        answer = await ask(house.front, "POST", path, headers=headers, body=pieces(b" " * 40_000, b" " * 40_000))
        assert answer.status == status, (path, answer.body)
    declared = await ask(house.front, "POST", b"/v1/receipts", headers=world.sdk(**{"Content-Length": str(MOST_BODY + 1)}), body=pieces())
    assert declared.status == 413
    answer = await ask(house.front, "POST", PATH, headers=world.secret, body=b" " * 200_000 + msgspec.json.encode(ATTRIBUTES))
    assert answer.status == 200, answer.body


async def test_the_stalled_give_way_where_many_hold_much(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(incoming, "STALLED_AFTER", 0.2)
    bodies = Incoming(most_held=90_000)
    scope = {"method": "POST", "headers": []}

    async def may() -> None:
        pass

    async def read(body: AsyncIterator[bytes]) -> bytes:
        async def receive() -> Any:
            try:
                return {"type": "http.request", "body": await anext(body), "more_body": True}
            except StopAsyncIteration:
                await asyncio.Event().wait()

        with bodies.one() as one:
            return await bodies.read(one, scope, receive, may)

    slow = [asyncio.create_task(read(pieces(b"x" * 30_000))) for _ in range(3)]
    await asyncio.sleep(0.05)
    assert bodies.held == 90_000
    sent = iter([(b"y" * 30_000, True), (b"y" * 30_000, False)])

    async def two_pieces() -> Any:
        piece, is_more = next(sent)
        return {"type": "http.request", "body": piece, "more_body": is_more}

    async def little() -> Any:
        return {"type": "http.request", "body": b"{}", "more_body": False}

    with bodies.one() as one:
        assert await bodies.read(one, scope, little, may) == b"{}"  # at once
    with bodies.one() as one:
        assert len(await bodies.read(one, scope, two_pieces, may)) == 60_000
    done, pending = await asyncio.wait(slow, timeout=1)
    assert [type(task.exception()) for task in done] == [Unavailable] * len(done)
    assert len(done) >= 1
    for task in pending:
        task.cancel()
    await asyncio.gather(*pending, return_exceptions=True)
    assert bodies.held == 0


async def test_a_client_that_goes_is_not_taken_at_half_its_word(house: House, world: World) -> None:
    scope: dict[str, Any] = {"method": "POST", "headers": []}

    async def gone() -> Any:
        return {"type": "http.disconnect"}

    async def may() -> None:
        pass

    bodies = Incoming()
    with bodies.one() as one, pytest.raises(incoming.ClientGone):
        await bodies.read(one, scope, gone, may)


async def test_who_breaks_off_in_a_body_and_still_listens_is_told_to_send_it_again(house: House, world: World) -> None:
    async def broken() -> AsyncIterator[bytes]:
        yield b'{"attributes":'
        raise ConnectionResetError

    answer = await ask(house.front, "POST", PATH, headers=world.sdk() | {"Content-Length": "1000"}, body=broken())
    assert answer.status == 503 and msgspec.json.decode(answer.body)["retryable"]


def test_inflating_costs_no_more_than_what_may_come_of_it() -> None:
    with pytest.raises(Invalid, match="larger"):
        incoming.inflated(zlib.compress(b"\0" * 200_000_000, 9))
