"""Whatever bodies hold, it costs time in proportion to their size, and is never a 500."""

from time import process_time

import pytest

from perennial.api.bodies import depth
from tests.world import World

UNCLOSED = b"[" * 65 + b'"' + b'\\"' * 60_000
QUOTES = b"[" * 65 + b'"' * 400_000
EMPTY_LISTS = b"[" + b"[]," * 340_000 + b"[]]"
BACKSLASHES = b"[" * 65 + b'"' + b"\\" * 1_000_000
NUMBER = b'{"price":1' + b"0" * 1_000_000 + b"}"
SAME_NAMES = b"{" + b'"a":1,' * 170_000 + b'"a":1}'
PATHS = (
    "/v1/receipts",
    "/v1/config/x",
    "/v1/subscribers/identify",
    "/v1/events",
    "/v2/projects",
    "/v2/projects/x/apps",
    "/hooks/stripe/x",
    "/oauth2/token",
    "/nowhere",
)


@pytest.mark.parametrize("body", [UNCLOSED, QUOTES, EMPTY_LISTS, BACKSLASHES, NUMBER, SAME_NAMES], ids=lambda body: repr(body[:70])[-12:])
@pytest.mark.parametrize("kind", ["none", "public", "secret"])
async def test_no_body_takes_more_than_a_moment(world: World, body: bytes, kind: str) -> None:
    key = {"none": {}, "public": world.sdk(), "secret": world.secret}[kind]
    for path in PATHS:
        began = process_time()
        answer = await world.http.post(path, headers=key | {"Content-Type": "application/json", "X-Platform": "android"}, content=body)
        assert process_time() - began < 5, path  # 40 s and more, where patterns went over it
        assert answer.status_code < 500, (path, answer.text)


@pytest.mark.parametrize(
    ("body", "deep"),
    [
        (UNCLOSED, 65),
        (b"[" * 65 + b'"\\\\"' + b"[", 66),
        (b"[" * 65 + b'"\\\\\\"' + b"[", 65),
        (b"[" * 65 + b'"' + b"]" * 65 + b'"' + b"]" * 65, 65),
        (b"{" * 64 + b"}" * 64 + b"[]" * 300_000, 64),
    ],
)
def test_the_depth_is_that_of_what_stands_outside_texts(body: bytes, deep: int) -> None:
    assert depth(body) == deep


HEADERS = {
    "Content-Type": "application/json" + ';a="\\"' * 10_000,
    "Accept-Language": "de;q=0.1," * 7000,
    "Cookie": 'a="\\"' * 12_000,
    "Host": "a." * 30_000,
    "Accept": "text/html;" * 6000,
    "Authorization": "Bearer " + " " * 60_000,
    "X-Platform": "a" * 60_000,
    "X-Nonce": "A" * 60_000,
    "Origin": "http://" + "a." * 30_000,
    "If-None-Match": '"' * 60_000,
    "Forwarded": 'for="' * 12_000,
}


@pytest.mark.parametrize("name", HEADERS)
async def test_no_header_takes_more_than_a_moment(world: World, name: str) -> None:
    for method, path in (("POST", "/v1/receipts"), ("GET", "/v1/subscribers/ada"), ("GET", "/v2/projects"), ("GET", "/"), ("POST", "/oauth2/token")):
        began = process_time()
        answer = await world.http.request(method, path, headers=world.secret | {name: HEADERS[name]}, json=None if method == "GET" else {})
        assert process_time() - began < 5, (method, path)
        assert answer.status_code < 500, answer.text


@pytest.mark.parametrize("query", ["%41" * 20_000, "&" * 60_000, "a=1&" * 15_000, "starting_after=" + "%25" * 20_000, "limit=" + "9" * 60_000])
async def test_no_query_takes_more_than_a_moment(world: World, query: str) -> None:
    for path in ("/v1/offerings", f"/v2/projects/{world.project_id}/customers", "/rcbilling/v1/subscribers/ada/products"):
        began = process_time()
        answer = await world.http.get(f"{path}?{query}", headers=world.secret | {"X-Platform": "android"})
        assert process_time() - began < 5, path
        assert answer.status_code < 500, answer.text
