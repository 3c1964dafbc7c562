"""The App Store, whose notification states by itself, under three signatures."""

import asyncio
from collections.abc import Sequence

import msgspec

from bench import store
from bench.house import House, Shop, make_shop, server
from bench.intake import steps
from bench.intake.kits import Check
from bench.jws import bare_check
from bench.load import Plan, measure
from bench.report import Figure, paired
from perennial import intake
from perennial.base.time import wall_clock
from perennial.intake.model import StoreApp
from perennial.providers.simulated import app_store

LINES = 4000


async def run(house: House) -> list[Figure]:
    shop, bare = await make_shop(house.app), await make_shop(house.app)
    bodies, check = await _signed(house, shop)
    purchases, renewals = [pair[0] for pair in bodies], [pair[1] for pair in bodies]
    connection = await house.connect()
    accepted = await steps.accept(house, house.app, shop, bare, "app_store", [({}, body) for body in purchases], check)
    before = await steps.counts(connection, shop)
    first = await steps.digest(house.app, shop)
    tables = await steps.grown(connection, shop, before)
    copied = await steps.copy_bare(connection, shop, bare, tables)
    by_http = await _accept_by_http(house, shop, renewals)
    again = await steps.digest(house.app, shop)
    await steps.check_told(connection, shop, {"INITIAL_PURCHASE": LINES, "RENEWAL": LINES})
    await connection.close()
    ceiling = f"the slower of bare ECDSA checks ({accepted.checked.middle:,.0f}/s) and bare inserts, 100 per commit ({accepted.kept.middle:,.0f}/s)"
    return [
        Figure(
            name="intake.accept",
            value=accepted.ours.middle,
            unit="messages/s",
            ceiling=ceiling,
            ceiling_value=accepted.slower.middle,
            measured_ratio=paired(accepted.ours, accepted.slower),
            note=f"App Store; {steps.CONCURRENT} at once, {len(purchases[0]):,} bytes each; {accepted.ours.spread}",
        ),
        Figure(
            name="intake.accept_http",
            value=by_http,
            unit="messages/s",
            ceiling="the same",
            ceiling_value=accepted.slower.middle,
            note="POST, 32 connections",
        ),
        Figure(
            name="intake.digest",
            value=LINES / first.seconds,
            unit="messages/s",
            ceiling="bare COPY of the rows this writes, 100 messages per commit",
            ceiling_value=copied,
            note=f"App Store: three signatures, rows in {len(tables)} tables, {first.statements / LINES:.2f} statements each; "
            "the ceiling neither reads, checks, decides nor marks",
        ),
        Figure(name="intake.digest_renewals", value=LINES / again.seconds, unit="messages/s", note="App Store, renewals of lines that are known"),
    ]


async def _signed(house: House, shop: Shop) -> tuple[list[tuple[bytes, bytes]], Check]:
    """The bodies, and a bare check of one's outer signature."""
    async with house.app.database.transaction(shop.project_id) as tx:
        pen = (await app_store.require_pen(tx, house.app.vault, shop.app_id)).authority
        app: StoreApp = (await intake.store_apps(tx, house.app.vault, [shop.app_id]))[shop.app_id]
    bodies = await asyncio.to_thread(store.notifications, pen, app, range(LINES), wall_clock())
    token: str = msgspec.json.decode(bodies[0][0])["signedPayload"]
    return bodies, bare_check(pen, token)


async def _accept_by_http(house: House, shop: Shop, bodies: Sequence[bytes]) -> float:
    head = f"POST /hooks/app_store/{shop.app_id} HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: "
    path = house.home / "requests.msgpack"
    path.write_bytes(msgspec.msgpack.encode([f"{head}{len(body)}\r\n\r\n".encode() + body for body in bodies]))
    async with server(house, "product") as port:
        return (await measure(Plan(port=port, requests=str(path)))).rate
