"""SQL of payments another system of the project tells of."""

from perennial.base.db import Tx
from perennial.base.ids import AppId
from perennial.base.money import Money
from perennial.intake.external import Payment
from perennial.subscriptions.model import Environment


async def keep_payment(tx: Tx, app_id: AppId, environment: Environment, store_line: str, payment: Payment) -> bool:
    """False where it is known already: a payment is told once, however often it is posted."""
    count = await tx.execute(
        """
        INSERT INTO external_payment
          (project_id, app_id, environment, store_line, payment, transaction, gross, tax, commission, currency, country, paid_at,
           offer_type, offer)
        VALUES (%(project_id)s, %(app_id)s, %(environment)s, %(store_line)s, %(payment)s, %(transaction)s, %(gross)s, %(tax)s, %(commission)s,
          %(currency)s, %(country)s, %(paid_at)s, %(offer_type)s, %(offer)s)
        ON CONFLICT DO NOTHING
        """,
        project_id=tx.project_id,
        app_id=app_id,
        environment=environment,
        store_line=store_line,
        payment=payment.identifier,
        transaction=payment.transaction,
        gross=payment.gross.amount,
        tax=payment.tax.amount,
        commission=payment.commission.amount,
        currency=payment.gross.currency,
        country=payment.country,
        paid_at=payment.paid_at,
        offer_type=payment.offer_type,
        offer=payment.offer,
    )
    return count == 1


async def payments_of(tx: Tx, app_id: AppId, environment: Environment, store_line: str, transaction: str) -> list[Payment]:
    """Of one purchase, in the order they were made."""
    rows = await tx.fetch(
        """
        SELECT payment, transaction, gross, tax, commission, currency, country, paid_at, offer_type, offer FROM external_payment
        WHERE app_id = %(app_id)s AND environment = %(environment)s AND store_line = %(store_line)s AND transaction = %(transaction)s
        ORDER BY paid_at, payment
        """,
        app_id=app_id,
        environment=environment,
        store_line=store_line,
        transaction=transaction,
    )
    return [
        Payment(
            identifier=row["payment"],
            transaction=row["transaction"],
            paid_at=row["paid_at"],
            gross=Money(amount=row["gross"], currency=row["currency"]),
            tax=Money(amount=row["tax"], currency=row["currency"]),
            commission=Money(amount=row["commission"], currency=row["currency"]),
            country=row["country"],
            offer_type=row["offer_type"],
            offer=row["offer"],
        )
        for row in rows
    ]
