"""The entitlement read, against servers that do nothing else and against PostgreSQL alone."""

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from statistics import median

import httpx
from rich.progress import Progress

from bench import people
from bench.house import House, Shop, make_shop, quiet, server
from bench.load import Outcome, Plan, measure
from bench.people import FIRST, People
from bench.report import Figure, Rounds, paired
from perennial.base.secrets import hash_key
from perennial.postgres import find_binaries

ROUNDS = 8
SECONDS = 1.5
CALM_ROUNDS = 7
CROWD = 128  # connections
CROWD_ROUNDS = 5
_ANSWER = '"original_app_user_id":"user-'
_PGBENCH = r"""
\set n random({first}, {last})
SELECT body FROM customer_document WHERE project_id = '{project}' AND customer_id = 'cus_0000000000000000000' || :n::text;
"""


async def run(house: House, progress: Progress, customers: int) -> list[Figure]:
    shop = await make_shop(house.app)
    crowd = await people.fill(house, shop, customers, progress)
    async with _servers(house, shop, crowd) as ports:
        answer_bytes = await _check(ports["product"], shop)
        rounds = await _alternate(house, progress, ports, shop, crowd)
        rates = {name: Rounds(values=tuple(one.rate for one in outcomes)) for name, outcomes in rounds.items()}
        half = await _at_half_load(house, progress, ports, shop, crowd)
    two = await _two_workers(house, progress, shop, crowd)
    pgbench, one_worker, two_workers, clients = await _beside_pgbench(house, progress, shop, crowd)
    cost = min(one.cost_us for one in rounds["constant"])
    product, query, constant = (rates[name] for name in ("product", "query", "constant"))
    return [
        Figure(
            name="read.fresh",
            value=product.middle,
            unit="reads/s",
            ceiling="bare ASGI, the same coalesced query, body as it is",
            ceiling_value=query.middle,
            measured_ratio=paired(product, query),
            target=">= 0.75",
            note=f"{customers:,} customers, {answer_bytes:,} bytes, {product.spread}",
        ),
        Figure(
            name="read.of_constant",
            value=product.middle,
            unit="reads/s",
            ceiling="bare ASGI, constant bytes of that size",
            ceiling_value=constant.middle,
            measured_ratio=paired(product, constant),
            note=f"the generator itself: {cost:.1f} us of processor per request",
        ),
        Figure(
            name="read.of_pgbench",
            value=one_worker.middle,
            unit="reads/s",
            ceiling=f"pgbench -M prepared -c {clients} -j 2, the body by primary key",
            ceiling_value=pgbench.middle,
            measured_ratio=paired(one_worker, pgbench),
            target=">= 0.30",
            note=f"one worker, as the product starts, {CROWD} connections, {one_worker.spread}",
        ),
        Figure(
            name="read.of_pgbench_two_workers",
            value=two_workers.middle,
            unit="reads/s",
            ceiling="the same pgbench; two workers of ours",
            ceiling_value=pgbench.middle,
            measured_ratio=paired(two_workers, pgbench),
            note=two_workers.spread,
        ),
        *_of_latency(half),
        Figure(
            name="read.two_workers",
            value=two["product"],
            unit="reads/s",
            ceiling="the same bare query, two workers",
            ceiling_value=two["query"],
            note="WEB_CONCURRENCY=2; generator, database and server share the processors",
        ),
    ]


@asynccontextmanager
async def _servers(house: House, shop: Shop, crowd: People, *, workers: int = 1) -> AsyncIterator[dict[str, int]]:
    size, key = str(crowd.body_bytes + 120), hash_key(shop.public_key).hex()  # the opening that is put in front of a body has 120 bytes
    async with (
        server(house, "product", workers=workers) as product,
        server(house, "query", workers=workers, BENCH_KEY_HASH=key) as query,
        server(house, "constant", workers=workers, BENCH_BODY=size) as constant,
    ):
        yield {"product": product, "query": query, "constant": constant}


async def _check(port: int, shop: Shop) -> int:
    """The product answers as it should before anything is measured; the length of its answer."""
    async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}", trust_env=False) as client:
        answer = await client.get(f"/v1/subscribers/user-{FIRST}", headers={"Authorization": f"Bearer {shop.public_key}", "X-Platform": "web"})
    assert answer.status_code == 200, answer.text
    subscriber = answer.json()["subscriber"]
    assert list(subscriber["subscriptions"]) == ["pro_monthly"] and list(subscriber["non_subscriptions"]) == ["pro_lifetime"], subscriber
    return len(answer.content)


def _plan(port: int, shop: Shop, crowd: People, seed: int, *, expected: str | None = _ANSWER) -> Plan:
    headers = {
        "Host": f"127.0.0.1:{port}",
        "User-Agent": "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0",
        "Accept": "application/json",
        "Accept-Language": "en-US,en;q=0.5",
        "Accept-Encoding": "gzip, deflate, br",
        "Authorization": f"Bearer {shop.public_key}",
        "Content-Type": "application/json",
        "X-Platform": "web",
        "X-Version": "1.15.1",
        "X-Is-Sandbox": "false",
        "Origin": "https://app.example.com",
        "Connection": "keep-alive",
    }
    tail = " HTTP/1.1\r\n" + "".join(f"{name}: {text}\r\n" for name, text in headers.items()) + "\r\n"
    return Plan(
        port=port,
        head="GET /v1/subscribers/user-",
        tail=tail,
        ids=(FIRST, FIRST + crowd.count),
        seed=seed,
        expected=expected,
        seconds=SECONDS,
        warm_up=1.0,
    )


async def _alternate(house: House, progress: Progress, ports: Mapping[str, int], shop: Shop, crowd: People) -> dict[str, list[Outcome]]:
    """A B C, A B C, ...: what the machine's neighbours do falls on all alike."""
    outcomes: dict[str, list[Outcome]] = {name: [] for name in ports}
    task = progress.add_task("reads", total=ROUNDS * len(ports))
    connection = await house.connect()
    for number in range(ROUNDS):
        for name, port in ports.items():
            outcomes[name].append(await measure(_plan(port, shop, crowd, number, expected=None if name == "constant" else _ANSWER)))
            await quiet(connection)
            progress.advance(task)
    await connection.close()
    progress.remove_task(task)
    return outcomes


async def _at_half_load(house: House, progress: Progress, ports: Mapping[str, int], shop: Shop, crowd: People) -> dict[str, list[Outcome]]:
    """The product and the bare query in turns, a few seconds each: what the machine takes away for a moment spoils one round, not the figure.

    Each round finds anew what the product can do at that moment, and asks for half of it.
    """
    names = ("product", "query")
    outcomes: dict[str, list[Outcome]] = {name: [] for name in names}
    task = progress.add_task("reads at half load", total=CALM_ROUNDS * len(names))
    connection = await house.connect()
    for number in range(CALM_ROUNDS):
        whole = await measure(_plan(ports["product"], shop, crowd, 70 + number))
        await quiet(connection)
        for name in names:
            plan = _plan(ports[name], shop, crowd, 90 + number)
            plan.rate, plan.connections, plan.warm_up, plan.seconds = whole.rate / 2, 64, 1.5, 4.0
            outcomes[name].append(await measure(plan))
            await quiet(connection)
            progress.advance(task)
    await connection.close()
    progress.remove_task(task)
    return outcomes


def _of_latency(half: Mapping[str, list[Outcome]]) -> list[Figure]:
    product, query = half["product"], half["query"]
    p99 = Rounds(values=tuple(one.p99_ms for one in product))
    rates, stolen = [one.rate for one in product], [one.stolen for one in product]
    return [
        Figure(
            name="read.p50_at_half_load",
            value=median(one.p50_ms for one in product),
            unit="ms",
            ceiling="the bare query at the same rate",
            ceiling_value=median(one.p50_ms for one in query),
            note=f"open loop at {min(rates):,.0f} to {max(rates):,.0f} reads/s, half of what the moment gave",
        ),
        Figure(
            name="read.p99_at_half_load",
            value=p99.middle,
            unit="ms",
            ceiling="the bare query at the same rate",
            ceiling_value=median(one.p99_ms for one in query),
            target="< 10",
            note=f"{min(p99.values):.1f} to {max(p99.values):.1f} in {CALM_ROUNDS} rounds; other machines took at most {max(stolen):.0%} of a round",
        ),
    ]


async def _two_workers(house: House, progress: Progress, shop: Shop, crowd: People) -> dict[str, float]:
    """Beside the bare query, as one worker is."""
    task = progress.add_task("reads, two workers", total=None)
    async with _servers(house, shop, crowd, workers=2) as ports:
        found: dict[str, list[float]] = {"product": [], "query": []}
        for number in range(3):
            for name in found:
                found[name].append((await measure(_plan(ports[name], shop, crowd, number))).rate)
                await asyncio.sleep(1)
    progress.remove_task(task)
    return {name: Rounds(values=tuple(rates)).middle for name, rates in found.items()}


async def _beside_pgbench(house: House, progress: Progress, shop: Shop, crowd: People) -> tuple[Rounds, Rounds, Rounds, int]:
    """pgbench, one worker and two in turns, and with how many clients pgbench is. Each has the machine alone: servers come and go.

    With as many connections as a busy server has: pgbench, too, is asked with the number of clients it likes best.
    """
    script = house.home / "read.pgbench"
    script.write_text(_PGBENCH.format(first=FIRST, last=FIRST + crowd.count - 1, project=shop.project_id))
    _, clients = max([(await _run_pgbench(house, str(script), clients, 3), clients) for clients in (8, 16)])
    found: dict[str, list[float]] = {"pgbench": [], "one": [], "two": []}
    task = progress.add_task("reads by many", total=CROWD_ROUNDS)
    for number in range(CROWD_ROUNDS):
        found["one"].append(await _crowded(house, shop, crowd, 1, number))
        found["pgbench"].append(await _run_pgbench(house, str(script), clients, 3))
        found["two"].append(await _crowded(house, shop, crowd, 2, number))
        progress.advance(task)
    progress.remove_task(task)
    pgbench, one, two = (Rounds(values=tuple(rates)) for rates in found.values())
    return pgbench, one, two, clients


async def _crowded(house: House, shop: Shop, crowd: People, workers: int, number: int) -> float:
    async with server(house, "product", workers=workers) as port:
        plan = _plan(port, shop, crowd, 200 + number)
        plan.connections = CROWD
        return (await measure(plan)).rate


async def _run_pgbench(house: House, script: str, clients: int, seconds: int) -> float:
    arguments = ["-n", "-M", "prepared", "-f", script, "-c", str(clients), "-j", "2", "-T", str(seconds), house.url]
    process = await asyncio.create_subprocess_exec(
        str(find_binaries().path("pgbench")), *arguments, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE
    )
    said, complaint = await process.communicate()
    for line in said.decode().splitlines():
        if line.startswith("tps = "):
            return float(line.split()[2])
    raise RuntimeError(f"pgbench failed: {complaint.decode()}")
