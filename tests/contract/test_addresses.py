"""Whatever path, query and method is asked for: the right answer or a refusal, never a 500; and HEAD answers what GET would, without the body."""

import msgspec
import pytest

from tests.asking import ask
from tests.world import House, World


@pytest.mark.parametrize("path", [b"/v1/subscribers/ada/", b"//v1/subscribers/ada", b"///v1/subscribers/ada//", b"/v1/subscribers/%61da/"])
async def test_slashes_around_a_path_mean_nothing(house: House, world: World, path: bytes) -> None:
    answer = await ask(house.front, "GET", path, headers=world.sdk())
    assert answer.status in (200, 201)
    assert msgspec.json.decode(answer.body)["subscriber"]["original_app_user_id"] == "ada"


async def test_all_routers_read_a_path_alike(house: House, world: World) -> None:
    for path, key in ((b"//v1/subscribers/ada/offerings//", world.sdk()), (b"//v2/projects/", world.secret), (b"/v1/offerings/", world.sdk())):
        assert (await ask(house.front, "GET", path, headers=key)).status == 200, path
    body = msgspec.json.encode({"attributes": {"a": {"value": "b"}}})
    assert (await ask(house.front, "POST", b"//v1/subscribers/ada/attributes/", headers=world.sdk(), body=body)).status == 200


@pytest.mark.parametrize(
    "path",
    [
        b"/v1/subscribers//offerings",  # whose?
        b"/v1/subscribers/",
        b"/v1//subscribers//ada",
        b"/v1/%73ubscribers/ada",
        b"/v1/subscribers/ada/offerings/..",
        b"/v1/subscribers/../../v2/projects",
        b"/v1%2Fofferings",
        b"/%",
        b"/%zz",
        b"*",
        b"",
        b"/" + b"a" * 5000,
        b"/" + b"/" * 5000,
        b"/v1/subscribers/ada/offerings\\..",
        b"/static/..%2F..%2Fguard.py",
    ],
)
async def test_what_is_no_address_is_not_found(house: House, world: World, path: bytes) -> None:
    for headers in (world.sdk(), world.secret):
        answer = await ask(house.front, "GET", path, headers=headers)
        assert answer.status in (404, 200 if path.strip(b"/") == b"" else 404), (path, answer.body)


@pytest.mark.parametrize(
    "path", [b"/v1/subscribers/%00", b"/v1/subscribers/a%00/offerings", b"/v1/offerings%00", b"/v2/projects/%ff", b"/%1f", b"/\xff"]
)
@pytest.mark.parametrize("method", ["GET", "HEAD", "POST", "PUT", "DELETE", "PATCH", "FOO"])
async def test_control_characters_and_wrong_bytes_are_refused(house: House, world: World, method: str, path: bytes) -> None:
    answer = await ask(house.front, method, path, headers=world.secret, body=b"{}")
    assert answer.status == 400, (method, path, answer.body)


@pytest.mark.parametrize(
    "path", [b"/", b"/v1", b"/v1/subscribers/ada", b"/v2/projects/x/apps/y/", b"/openapi/openapi.json", b"/simulated/stripe/x", b"/a%2Fb"]
)
@pytest.mark.parametrize("method", ["GET", "HEAD", "POST", "PUT", "DELETE", "PATCH", "TRACE", "CONNECT", "FOO", "get"])
async def test_no_method_is_too_much(house: House, world: World, method: str, path: bytes) -> None:
    assert 200 <= (await ask(house.front, method, path, headers=world.secret, body=b"{}")).status < 500


async def test_what_is_allowed_is_said_where_a_method_is_not(house: House, world: World) -> None:
    answer = await ask(house.front, "DELETE", b"/v1/offerings", headers=world.sdk())
    assert (answer.status, sorted(answer.headers["allow"].split(", "))) == (405, ["GET", "OPTIONS"])


async def test_an_escaped_slash_is_part_of_a_name(house: House, world: World) -> None:
    path = b"/v1/subscribers/ada/entitlements/no%2Fsuch/promotional"
    answer = await ask(house.front, "POST", path, headers=world.secret, body=b'{"duration":"daily"}')
    assert (answer.status, "no/such" in answer.body.decode()) == (404, True), answer.body


async def test_queries_are_read_or_refused_by_the_name_of_what_is_wrong(house: House, world: World) -> None:
    path = f"/v2/projects/{world.project_id}/customers".encode()
    for query, param in ((b"search=%00", "search"), (b"limit=1&search=%ff", "search"), (b"x=%ed%a0%80", "x")):
        answer = await ask(house.front, "GET", path, query=query, headers=world.secret)
        assert answer.status == 400, answer.body
        assert msgspec.json.decode(answer.body)["param"] == param
    for query in (b"&" * 2000, b"x=" + b"a" * 20_000):
        assert (await ask(house.front, "GET", path, query=query, headers=world.secret)).status == 400
    assert (await ask(house.front, "GET", path, query="search=ö".encode(), headers=world.secret)).status == 200
    assert (await ask(house.front, "GET", b"/v1/offerings", query=b"x=%00", headers=world.sdk())).status == 400


@pytest.mark.parametrize(
    "path",
    [b"/v1/subscribers/ada", b"/v1/subscribers/ada/", b"/v1/offerings", b"/v1/subscribers/ada/offerings", b"/v2/projects", b"/healthz", b"/nowhere"],
)
async def test_head_answers_what_get_would(house: House, world: World, path: bytes) -> None:
    headers = world.secret | {"X-Platform": "android"} if path == b"/v2/projects" else world.sdk()
    await ask(house.front, "GET", path, headers=headers)  # ada is made
    got, head = [await ask(house.front, method, path, headers=headers) for method in ("GET", "HEAD")]
    assert (head.status, head.body) == (got.status, b"")
    assert head.headers["content-length"] == str(len(got.body))
    differ = ("x-request-id", "revenuecat-rate-limit-current-usage", "x-revenuecat-request-time")
    assert {name: text for name, text in head.headers.items() if name not in differ} == {
        name: text for name, text in got.headers.items() if name not in differ
    }


@pytest.mark.parametrize(
    "host",
    [
        b"x:99999",
        b"x:abc",
        b"x:-1",
        b"x:1:2",
        b"\xff",
        b"\xc3\xa9.com",
        b"a b",
        b"a/b",
        b"u@x",
        b'a"b',
        b"a<b>",
        b"[::1",
        b"[::1]x",
        b"[x]",
        b"[fe80::1%25eth0]",
    ],
)
async def test_a_host_that_is_none_is_refused_by_every_door(house: House, world: World, host: bytes) -> None:
    for method, path in (("GET", b"/"), ("GET", b"/v2/projects"), ("POST", b"/v1/receipts"), ("GET", b"/.well-known/oauth-authorization-server")):
        answer = await ask(house.front, method, path, host=host, body=b"{}")
        assert answer.status == 400 and b"Host header" in answer.body, (path, answer.body)


@pytest.mark.parametrize("host", [b"", b"x", b"x:", b"x:0", b"x:65535", b"127.0.0.1:8080", b"[::1]", b"[::1]:8080", b"a_b.example.com.", b"x%41"])
async def test_every_host_there_can_be_is_answered(house: House, world: World, host: bytes) -> None:
    assert (await ask(house.front, "GET", b"/v2/projects", headers=world.secret, host=host)).status == 200
    assert (await ask(house.front, "GET", b"/v2/projects", host=host)).status == 401
    assert (await ask(house.front, "GET", b"/.well-known/oauth-authorization-server", host=host)).status == 200


async def test_two_hosts_are_none(house: House, world: World) -> None:
    assert (await ask(house.front, "GET", b"/v2/projects", headers=world.secret | {"Host": "evil.example"})).status == 400
