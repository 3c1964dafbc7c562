"""`Stripe-Signature`: who sent a webhook, and when.

The header is `t=<seconds>,v1=<hex>,...`; signed is `<seconds>.<body>` with HMAC-SHA256, keyed by the endpoint's secret exactly as Stripe shows it.
While a secret is rolled, Stripe signs with both and sends several `v1`; other schemes are not looked at. Stripe's own library lets timestamps from
the future pass, we do not: a message signed ahead could be replayed for longer.
"""

import hmac
from collections.abc import Sequence
from datetime import datetime, timedelta
from hashlib import sha256

from perennial.base.time import EPOCH
from perennial.intake.model import Untrusted

TOLERANCE = timedelta(seconds=300)
HEADER = "stripe-signature"
_LONGEST_HEADER = 4096
_MOST_SECONDS_DIGITS = 11  # the year 5138


def verify(header: str | None, body: bytes, *, secrets: Sequence[str], now: datetime) -> None:
    """Raises `Untrusted` unless one of `secrets` signed exactly this body, within five minutes of `now`."""
    seconds, signatures = _parts(header)
    signed = f"{seconds}.".encode() + body
    expected = [hmac.new(secret.encode(), signed, sha256).hexdigest().encode() for secret in secrets]
    matches = [hmac.compare_digest(ours, theirs) for ours in expected for theirs in signatures]
    if not any(matches):
        raise Untrusted("the Stripe-Signature does not fit the body; check the signing secret of the webhook endpoint", param="Stripe-Signature")
    if abs(now - (EPOCH + timedelta(seconds=seconds))) > TOLERANCE:
        raise Untrusted("signed more than 5 minutes from now: replayed, or one of the clocks is wrong", param="Stripe-Signature")


def sign(body: bytes, *, secret: str, now: datetime) -> str:
    """The header Stripe would send. For the simulated Stripe."""
    seconds = (now - EPOCH) // timedelta(seconds=1)
    signature = hmac.new(secret.encode(), f"{seconds}.".encode() + body, sha256).hexdigest()
    return f"t={seconds},v1={signature}"


def _parts(header: str | None) -> tuple[int, list[bytes]]:
    if not header or len(header) > _LONGEST_HEADER:
        raise Untrusted("no Stripe-Signature: not sent by Stripe", param="Stripe-Signature")
    pairs = [part.strip().partition("=") for part in header.split(",")]
    times = [content for name, _, content in pairs if name == "t"]
    signatures = [content.encode() for name, _, content in pairs if name == "v1"]
    if not times or not times[0].isascii() or not times[0].isdigit() or len(times[0]) > _MOST_SECONDS_DIGITS or not signatures:
        raise Untrusted("a Stripe-Signature looks like t=1700000000,v1=...", param="Stripe-Signature")
    return int(times[0]), signatures
