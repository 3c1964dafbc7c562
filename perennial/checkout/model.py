"""A change of plan, between the page that shows it and the customer's yes. The error numbers are the SDKs'."""

from datetime import datetime, timedelta
from typing import Literal

from perennial.base.errors import Conflict, Invalid, Unauthorized
from perennial.base.ids import AppId, CustomerId, LineId, ProjectId
from perennial.base.money import Money
from perennial.base.value import value
from perennial.catalog.model import Product

TOKEN_LIVES = timedelta(hours=1)
SESSION_LIVES = timedelta(minutes=30)
CHANGED_AT = ("stripe",)  # stores whose plans can be changed from outside

When = Literal["immediate", "deferred"]


class TokenRefused(Unauthorized):
    """7224: whoever sends it is not shown to be the customer."""

    def __init__(self) -> None:
        super().__init__(
            "X-RC-Subscriber-Token is not this customer's, or an hour old; have your backend ask for a new one (v2: actions/authenticate)",
            code=7224,
        )


class NotPossible(Invalid):
    """7878: this cannot be bought or changed here; the message says why, and where it can be."""

    def __init__(self, message: str, *, param: str) -> None:
        super().__init__(message, param=param, code=7878)


class SessionOver(Invalid):
    """7877: no session, or one whose half hour is over."""

    def __init__(self) -> None:
        super().__init__("this checkout session is not known here, or has ended; start again", param="operation_session_id", code=7877)


class AlreadyOnPlan(Conflict):
    """7772."""

    def __init__(self, product: str) -> None:
        super().__init__(f"the customer is subscribed to {product} already, or will be from the next period on", param="product_id", code=7772)


class Refused(Conflict):
    """7773: the store will not; in its words."""

    def __init__(self, message: str) -> None:
        super().__init__(message, code=7773)


@value
class SubscriberToken:
    """That the project's own backend vouches for whoever has it: they are this customer. Sealed, not kept: it ends by itself."""

    project_id: ProjectId
    customer_id: CustomerId
    expires_at: datetime


@value
class Change:
    """A plan in exchange for another. Sealed into the session's id: what the customer says yes to is what they were shown."""

    project_id: ProjectId
    customer_id: CustomerId
    app_id: AppId
    line_id: LineId
    product: str  # the store's identifier of the new product
    price: Money
    when: When
    nonce: str  # so that no two sessions are one, and each is done once
    expires_at: datetime


@value
class Started:
    """A change as it is shown before the customer says yes."""

    session: str
    change: Change
    current: Product
    current_price: Money
    wanted: Product
    email: str | None
