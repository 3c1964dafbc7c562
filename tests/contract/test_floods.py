"""v1 is asked no more often than its limits, by key and by address; private addresses are proxies, who name whom they ask for."""

from perennial.api import floods
from perennial.api.asgi import Front
from perennial.api.floods import Floods, address_of
from perennial.asgi import make_framework
from perennial.base.value import replace
from tests.asking import ask
from tests.world import House, World


def limited(house: House, **limits: int) -> Front:
    app = replace(house.app, settings=replace(house.app.settings, rate_limits=limits))
    return Front(app, make_framework(app), house.sightings, house.front._signer)


async def test_a_key_that_asks_too_often_is_told_to_wait(house: House, world: World) -> None:
    front = limited(house, v1_key=4)
    paths = (b"/v1/subscribers/ada", b"/v1/offerings", b"/v1/subscribers/ada/", b"/rcbilling/v1/branding", b"/v1/subscribers/ada", b"/v1/offerings")
    answers = [await ask(front, "GET", path, headers=world.sdk()) for path in paths]
    assert [answer.status == 429 for answer in answers] == [False] * 4 + [True] * 2
    assert 1 <= int(answers[-1].headers["retry-after"]) <= 60
    assert b'"code":7114' in answers[-1].body and b'"code":7114' in answers[-2].body
    assert (await ask(front, "GET", b"/v1/offerings", headers=world.sdk("app_store"))).status == 200  # another key
    assert (await ask(front, "GET", b"/healthz", headers=world.sdk())).status == 200


async def test_an_address_of_the_internet_that_asks_too_often_is_told_to_wait(house: House, world: World) -> None:
    front = limited(house, v1_address=2)

    async def read(client: str, **headers: str) -> int:
        return (await ask(front, "GET", b"/v1/subscribers/ada", headers=world.sdk(**headers), client=client)).status

    assert [await read("8.8.8.8") for _ in range(3)][-1] == 429
    assert await read("8.8.4.4") in (200, 201)
    assert all([await read("127.0.0.1") in (200, 201) for _ in range(5)])
    assert [await read("10.0.0.1", **{"X-Forwarded-For": "1.2.3.4, 9.9.9.9"}) for _ in range(3)][-1] == 429
    assert await read("10.0.0.1", **{"X-Forwarded-For": "9.9.9.9, 1.2.3.4"}) in (200, 201)
    assert await read("9.9.9.9", **{"X-Forwarded-For": "1.1.1.1"}) == 429  # a client's own word is not asked for
    assert [await read(f"2606:4700::{number}") for number in range(1, 4)][-1] == 429  # one machine has a whole network


def test_whose_address_counts() -> None:
    def of(client: str, forwarded: str | None = None) -> str | None:
        return address_of({"client": (client, 1)}, {} if forwarded is None else {b"x-forwarded-for": forwarded.encode()})

    assert of("8.8.8.8") == "8.8.8.8"
    assert of("::ffff:8.8.8.8") == "8.8.8.8"
    assert of("127.0.0.1") is of("10.1.2.3", "unknown") is of("::1", "192.168.1.1") is of("x") is None
    assert of("172.17.0.1", "a" * 100_000 + ", 8.8.8.8") == "8.8.8.8"


def test_what_is_counted_is_bounded_and_ends(monkeypatch) -> None:
    counter = Floods({"v1_key": 1000, "v1_address": 1000})
    monkeypatch.setattr(floods, "MOST_COUNTED", 100)
    for number in range(1000):
        counter.count({"client": ("8.8.8.8", 1)}, {b"authorization": b"%d" % number + b"x" * 60_000})
    assert len(counter._counts) <= 102
    assert max(len(key) for key in counter._counts) <= 400
