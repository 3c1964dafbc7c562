"""What may be done to a line now."""

from datetime import datetime

from perennial.base.errors import Conflict
from perennial.providers.simulated.app_store.model import Subscription
from perennial.providers.simulated.app_store.payloads import current, status


def has_access(line: Subscription, now: datetime) -> bool:
    """By Apple's word: active, or in grace. After a recovery the present period may begin later than now."""
    return status(line) in (1, 4) and (line.trouble is not None or (current(line).expires_at or now) > now)


def require_subscription(line: Subscription) -> None:
    if line.type != "Auto-Renewable Subscription":
        raise Conflict(f"the simulated line {line.store_line} is a one-time purchase, not a subscription")


def require_open(line: Subscription) -> None:
    require_subscription(line)
    if line.ending is not None:
        raise Conflict("the simulated subscription is over; resubscribe first")


def require_running(line: Subscription, now: datetime) -> None:
    require_open(line)
    if not has_access(line, now) or line.trouble is not None:
        raise Conflict("the simulated subscription does not run now: its last period is over, refunded or unpaid")
