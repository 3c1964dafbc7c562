"""What another system of the project's own tells us was bought with it, and paid."""

from collections.abc import Sequence
from datetime import datetime

from perennial import subscriptions
from perennial.base.db import Tx
from perennial.base.errors import Invalid, NotFound
from perennial.base.ids import AppId, CustomerId, LineId
from perennial.base.money import Money
from perennial.base.value import value
from perennial.intake import db, external
from perennial.intake.external import ExternalPurchase, ExternalSubscription, OfferType, Payment
from perennial.intake.model import ENVIRONMENTS
from perennial.subscriptions import Said
from perennial.subscriptions.model import Environment, Line, Statement


@value
class ExternalPayment:
    """A payment as it was posted: for which subscription or purchase, and how much. `paid_at` None: just now."""

    identifier: str
    line: str
    gross: Money
    tax: Money
    commission: Money
    paid_at: datetime | None = None
    country: str | None = None
    offer_type: OfferType | None = None
    offer: str | None = None


class ExternalMissing(NotFound):
    """A payment for something nobody told us of."""


async def record_external(
    tx: Tx, app_id: AppId, said: ExternalSubscription | ExternalPurchase | None, buyer: CustomerId | None, paid: ExternalPayment | None
) -> tuple[LineId | None, str | None]:
    """Records how something bought elsewhere stands, and what was paid for it. Returns the line spoken of, and the payment where it is new.

    Twice does no harm, and what is said of an earlier moment does not undo what was said of a later one. Raises `ExternalMissing`,
    `Invalid`, and `PeriodsOverlap` or `ReceiptInUse`, both conflicts.
    """
    name = said.line if said is not None else paid.line if paid is not None else ""
    environments = (said.environment,) if said is not None else ENVIRONMENTS
    await subscriptions.hold(tx, [("external", environment, name) for environment in environments])
    known = next(iter(await subscriptions.find(tx, [("external", environment, name) for environment in environments])), None)
    if said is None and known is None:
        raise ExternalMissing(f"nothing bought elsewhere is called {name[:80]!r}; post the purchase with its first payment", code=7259)
    environment = said.environment if said is not None else known.environment if known is not None else "production"
    transaction = _paid_transaction(known, said, paid, tx.now)
    is_new = paid is not None and await db.keep_payment(tx, app_id, environment, name, _payment(paid, transaction, tx.now))
    payments = await db.payments_of(tx, app_id, environment, name, transaction)
    if len({payment.gross.currency for payment in payments}) > 1:
        raise Invalid("this purchase was paid in another currency before; its payments must be in one", param="payment", code=7226)
    statement = external.with_payments(known, _external_statement(known, said, payments, environment, name), transaction, payments)
    (line_id,) = await subscriptions.record(tx, [Said(app_id=app_id, statement=statement, buyer=buyer)])
    return (line_id if said is not None else None), (paid.identifier if paid is not None and is_new else None)


def _paid_transaction(known: Line | None, said: ExternalSubscription | ExternalPurchase | None, paid: ExternalPayment | None, now: datetime) -> str:
    match said:
        case ExternalSubscription():
            return external.transaction_of(known, said)
        case ExternalPurchase():
            return said.line
        case None:
            assert known is not None and paid is not None
            return external.paid_period(known, paid.paid_at or now)


def _payment(paid: ExternalPayment, transaction: str, now: datetime) -> Payment:
    return Payment(
        identifier=paid.identifier,
        transaction=transaction,
        paid_at=paid.paid_at or now,
        gross=paid.gross,
        tax=paid.tax,
        commission=paid.commission,
        country=paid.country,
        offer_type=paid.offer_type,
        offer=paid.offer,
    )


def _external_statement(
    known: Line | None, said: ExternalSubscription | ExternalPurchase | None, payments: Sequence[Payment], environment: Environment, name: str
) -> Statement:
    match said:
        case ExternalSubscription():
            return external.subscription_statement(known, said)
        case ExternalPurchase():
            return external.purchase_statement(known, said, payments)
        case None:
            return Statement(store="external", environment=environment, line=name, purchases=())
