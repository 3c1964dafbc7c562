"""Nothing an outsider invents makes the process remember more: methods, paths, names, keys, queries."""

from datetime import timedelta

from perennial.api.limits import Limits
from perennial.api.observe import METHODS, REGISTRY
from perennial.api.v1 import read
from perennial.base.ids import new_token
from perennial.base.time import wall_clock
from tests.asking import ask
from tests.world import House, World


def series() -> int:
    return sum(len(metric.samples) for metric in REGISTRY.collect())


async def test_invented_names_make_no_series(house: House, world: World) -> None:
    async def invent(number: int) -> None:
        name = f"x{number}"
        await ask(house.front, name.upper(), f"/{name}".encode(), headers=world.sdk())
        await ask(house.front, "GET", f"/v1/{name}".encode(), headers=world.secret)
        await ask(house.front, name, b"/v1/subscribers/ada/offerings", headers={"Authorization": f"Bearer {name}"})
        await ask(house.front, "POST", f"/hooks/{name}/{name}".encode(), body=b"{}")
        await ask(house.front, "GET", f"/simulated/stripe/{name}/{name}".encode())
        body = f'{{"entries":[{{"name":"{name}","properties":{{"successful":"{name}"}}}}]}}'
        await ask(house.front, "POST", b"/v1/diagnostics", headers=world.sdk(), body=body.encode())

    await invent(0)
    before = series()
    for number in range(1, 500):
        await invent(number)
    assert series() == before
    methods = {sample.labels["method"] for metric in REGISTRY.collect() for sample in metric.samples if "method" in sample.labels}
    assert methods <= METHODS | {"other"}


async def test_long_keys_are_not_remembered_at_their_length(house: House, world: World) -> None:
    read._hash_of.cache_clear()
    for number in range(20):
        padded = f"Bearer {' ' * 60_000}{world.keys['test_store']}{number}"
        assert (await ask(house.front, "GET", b"/v1/subscribers/ada", headers={"Authorization": padded})).status == 401
    assert read._hash_of.cache_info().currsize <= 1


def test_windows_of_many_keys_are_dropped_when_they_end() -> None:
    limits, now = Limits({"x": 5}), wall_clock()
    for _ in range(25_000):
        limits.count(new_token(8), "x", now)
    assert len(limits._windows) <= 25_000
    for _ in range(60_000):
        limits.count(new_token(8), "x", now + timedelta(minutes=2))
    assert len(limits._windows) <= 60_001
    limits.count("one", "x", now + timedelta(minutes=5))
