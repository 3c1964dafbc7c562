"""The simulated customer portal: sessions as Stripe makes them, and the page at their address, where a customer ends their subscription or goes on.

A session is not kept: its address names the customer and its end, signed with the app's key. As at Stripe it is good for a short while; by the
project's clock, as all here.
"""

import hmac
from collections.abc import Mapping
from datetime import datetime, timedelta
from hashlib import sha256
from html import escape

from perennial.base.db import Tx
from perennial.base.errors import NotFound
from perennial.base.time import EPOCH
from perennial.base.value import value
from perennial.intake.model import StoreApp
from perennial.providers.simulated.stripe import actions, db, rules
from perennial.providers.simulated.stripe.model import Life
from perennial.providers.simulated.stripe.payloads import Object, seconds

PATH = "portal"  # of a session's page, beside the API's `v1`
LIFE = timedelta(minutes=5)


class SessionOver(NotFound):
    """The address was not made here, or its time is over."""

    def __init__(self) -> None:
        super().__init__("this portal session has expired; ask for a new address")


@value
class Page:
    """What a browser is answered. `sees` is where it is sent instead."""

    status: int
    html: str = ""
    sees: str | None = None


def session(app: StoreApp, life: Life, return_url: str | None, now: datetime) -> Object:
    token = _token(app, life.code, seconds(now + LIFE), return_url or "")
    return {
        "id": f"bps_{token.rpartition('.')[2][:24]}",
        "object": "billing_portal.session",
        "configuration": "bpc_simulated",
        "created": seconds(now),
        "customer": f"cus_{life.code}",
        "livemode": False,
        "return_url": return_url,
        "url": f"{app.api_base_url}/{PATH}/{token}",
    }


async def show(tx: Tx, app: StoreApp, token: str) -> Page:
    """The page. Raises `SessionOver`."""
    life, return_url = await _opened(tx, app, token)
    return Page(status=200, html=_page(life, return_url))


async def do(tx: Tx, app: StoreApp, token: str, fields: Mapping[str, str]) -> Page:
    """What a button of the page stands for; twice does no harm. The webhooks follow by the agenda. Raises `SessionOver`."""
    life, _ = await _opened(tx, app, token)
    wants_end = fields.get("do") == "cancel"

    def change(found: Life) -> Life:
        if found.ended_at is not None or found.cancel_at_period_end == wants_end:
            return found
        return rules.cancel(found, tx.now) if wants_end else rules.uncancel(found, tx.now)

    if life.mode == "subscription":
        await actions.act(tx, app.app_id, f"sub_{life.code}", change)
    return Page(status=303, sees=f"{app.api_base_url}/{PATH}/{token}")


async def _opened(tx: Tx, app: StoreApp, token: str) -> tuple[Life, str]:
    code, _, rest = token.partition(".")
    until, _, rest = rest.partition(".")
    way_back = bytes.fromhex(rest.partition(".")[0]).decode() if _is_hex(rest.partition(".")[0]) else ""
    is_ours = until.isascii() and until.isdigit() and len(until) < 12 and hmac.compare_digest(token, _token(app, code, int(until), way_back))
    if not is_ours or EPOCH + timedelta(seconds=int(until)) <= tx.now:
        raise SessionOver
    life = await db.find(tx, app.app_id, code)
    if life is None:
        raise SessionOver
    return rules.play(life, tx.now), way_back


def _token(app: StoreApp, code: str, until: int, return_url: str) -> str:
    said = f"{code}.{until}.{return_url.encode().hex()}"
    return f"{said}.{hmac.new(app.reveal('api_key').encode(), said.encode(), sha256).hexdigest()}"


def _is_hex(text: str) -> bool:
    return len(text) % 2 == 0 and all(character in "0123456789abcdef" for character in text)


def _page(life: Life, return_url: str) -> str:
    """Plain on purpose: what is rehearsed is what follows from it."""
    price = f"{life.plan.price.major} {life.plan.price.currency}"
    is_over = life.mode != "subscription" or life.ended_at is not None
    state = "ended" if life.ended_at is not None else f"{life.status}, ends" if life.cancel_at_period_end else f"{life.status}, renews"
    button = "" if is_over else _button("keep", "Keep it") if life.cancel_at_period_end else _button("cancel", "Cancel at the end of the period")
    back = f'<p><a href="{escape(return_url)}">Back</a></p>' if return_url.startswith(("https://", "http://")) else ""
    return f"""<!doctype html><html lang="en"><meta charset="utf-8"><meta name="viewport" content="width=device-width">
<title>Simulated customer portal</title><body style="font:16px/1.5 system-ui;max-width:32rem;margin:3rem auto;padding:0 1rem">
<h1>Simulated customer portal</h1><p><b>{escape(life.plan.product)}</b>, {price}</p>
<p>{escape(state)} {life.period_end:%Y-%m-%d %H:%M} UTC</p>{button}{back}</body></html>"""


def _button(wish: str, text: str) -> str:
    return f'<form method="post"><button name="do" value="{wish}">{text}</button></form>'
