"""`Paddle-Signature`: who sent a notification, and when.

The header is `ts=<seconds>;h1=<hex>[;h1=...]`; signed is `<seconds>:<body>` with HMAC-SHA256, keyed by the notification destination's secret as
Paddle shows it. While a secret is rotated there are several `h1`; other names are skipped. Source: "Verify webhook signatures" (Paddle
developer documentation).
"""

import hmac
from collections.abc import Sequence
from datetime import datetime, timedelta
from hashlib import sha256

from perennial.base.time import EPOCH
from perennial.intake.model import Untrusted

HEADER = "paddle-signature"
# Paddle's own libraries allow five seconds. Clocks differ by more than that, and a message played back within a minute is told by its event id.
TOLERANCE = timedelta(seconds=60)

_LONGEST_HEADER = 4096
_MOST_SECONDS_DIGITS = 11  # the year 5138


def verify(header: str | None, body: bytes, *, secrets: Sequence[str], tolerance: timedelta, now: datetime) -> datetime:
    """When one of `secrets` signed exactly this body. Raises `Untrusted`, also where that is further than `tolerance` from `now`, either way."""
    seconds, signatures = _parts(header)
    signed = f"{seconds}:".encode() + body
    expected = [hmac.new(secret.encode(), signed, sha256).hexdigest().encode() for secret in secrets]
    matches = [hmac.compare_digest(ours, theirs) for ours in expected for theirs in signatures]
    if not any(matches):
        raise Untrusted("the Paddle-Signature does not fit the body; check the notification destination's secret", param="Paddle-Signature")
    signed_at = EPOCH + timedelta(seconds=int(seconds))
    if abs(now - signed_at) > tolerance:
        raise Untrusted(
            f"signed more than {tolerance.total_seconds():g} seconds from now: replayed, or one of the clocks is wrong", param="Paddle-Signature"
        )
    return signed_at


def sign(body: bytes, *, secret: str, now: datetime) -> str:
    """The header Paddle would send."""
    seconds = (now - EPOCH) // timedelta(seconds=1)
    return f"ts={seconds};h1={hmac.new(secret.encode(), f'{seconds}:'.encode() + body, sha256).hexdigest()}"


def _parts(header: str | None) -> tuple[str, list[bytes]]:
    if not header or len(header) > _LONGEST_HEADER:
        raise Untrusted("no Paddle-Signature: not sent by Paddle", param="Paddle-Signature")
    pairs = [part.strip().partition("=") for part in header.split(";")]
    times = [content for name, _, content in pairs if name == "ts"]
    signatures = [content.encode() for name, _, content in pairs if name == "h1"]
    if len(times) != 1 or not times[0].isascii() or not times[0].isdigit() or len(times[0]) > _MOST_SECONDS_DIGITS or not signatures:
        raise Untrusted("a Paddle-Signature looks like ts=1700000000;h1=...", param="Paddle-Signature")
    return times[0], signatures
