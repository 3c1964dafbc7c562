"""What Apple really paid, from its monthly financial reports, beside the purchases it was paid for.

A report has a row for each product, country, price and share: what the customer paid and what the developer got of it, for so many units. It
names no transaction, so it is set against every purchase of that product, country and price within the report's days. The developer's
share is what is left after tax and commission; which of the two is which is said by the country's rate of that day, as Apple takes the tax
first. Both are then stated facts of the purchase: the ledger books them, and no estimate of theirs is made any more.

Source: App Store Connect, "Download and view reports", financial reports.
"""

import csv
import gzip
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal, InvalidOperation
from pathlib import Path

from perennial import subscriptions, taxes
from perennial.base.db import Database
from perennial.base.errors import Invalid
from perennial.base.ids import AppId, ProjectId
from perennial.base.money import Money, from_decimal
from perennial.base.value import replace, value
from perennial.subscriptions import Said
from perennial.subscriptions.model import Line, Purchase, Statement

_PAGE = 500  # lines taken at a time
_MAX_ROWS = 1_000_000
_MAX_BYTES = 256 * 1024 * 1024  # of a report, unpacked
_NEEDED = (
    "Start Date",
    "End Date",
    "Vendor Identifier",
    "Partner Share",
    "Partner Share Currency",
    "Sales or Return",
    "Country Of Sale",
    "Customer Price",
    "Customer Currency",
)


@value
class ReportedShare:
    """What the developer gets of one unit of a product, sold in a country at a price within these days (`until` not included)."""

    product: str
    country: str
    price: Money
    share: Money  # of the developer, in the price's currency
    since: date
    until: date


@value
class ReportOutcome:
    """`reported`: rows that name a share; `left_out`: rows that cannot be used, with their line and the reason; `purchases`: those that got it."""

    reported: int
    left_out: tuple[tuple[int, str], ...]
    purchases: int


def read_report(path: Path) -> tuple[list[ReportedShare], list[tuple[int, str]]]:
    """The shares a report names, and the rows left out. Raises `Invalid` where the file is no financial report."""
    shares: list[ReportedShare] = []
    left_out: list[tuple[int, str]] = []
    header: list[str] = []
    for number, cells in _rows(path):
        if not header:
            header = [cell.strip() for cell in cells]
            if missing := [name for name in _NEEDED if name not in header]:
                raise Invalid(f"{path.name} is no financial report of Apple's: it has no column {', '.join(missing)}", param="file")
            continue
        if len(cells) < len(header):
            continue  # the totals below the rows
        row = dict(zip(header, (cell.strip() for cell in cells), strict=False))
        if row["Sales or Return"] != "S":
            continue
        try:
            shares.append(_share(row))
        except Invalid as error:
            left_out.append((number, error.message))
    if not header:
        raise Invalid(f"{path.name} is empty", param="file")
    return shares, left_out


def _rows(path: Path) -> Iterator[tuple[int, list[str]]]:
    try:
        with path.open("rb") as raw:
            is_gzip = raw.read(2) == b"\x1f\x8b"
        with gzip.open(path, "rb") if is_gzip else path.open("rb") as file:
            content = file.read(_MAX_BYTES + 1)
        if len(content) > _MAX_BYTES:
            raise Invalid(f"{path.name} has more than {_MAX_BYTES // 1024 // 1024} MB; split it", param="file")
        lines = content.decode("utf-8-sig").splitlines()
        if len(lines) > _MAX_ROWS:
            raise Invalid(f"{path.name} has more than {_MAX_ROWS} rows; split it", param="file")
        yield from enumerate(csv.reader(lines, delimiter="\t"), start=1)
    except (OSError, EOFError, UnicodeDecodeError, csv.Error) as error:
        raise Invalid(f"{path.name} cannot be read: {error}", param="file") from error


def _share(row: dict[str, str]) -> ReportedShare:
    currency = row["Customer Currency"]
    if row["Partner Share Currency"] != currency:
        raise Invalid(f"paid in {currency} and shared in {row['Partner Share Currency']}: not compared")
    price, share = _money(row["Customer Price"], currency), _money(row["Partner Share"], currency)
    if not 0 < share.amount <= price.amount:
        raise Invalid(f"the share {row['Partner Share']} is no part of the price {row['Customer Price']}")
    return ReportedShare(
        product=row["Vendor Identifier"],
        country=row["Country Of Sale"],
        price=price,
        share=share,
        since=_day(row["Start Date"]),
        until=_day(row["End Date"]) + timedelta(days=1),
    )


def _money(text: str, currency: str) -> Money:
    try:
        amount = Decimal(text)
    except InvalidOperation as error:
        raise Invalid(f"{text[:40]!r} is no amount") from error
    if not amount.is_finite() or abs(amount) > 10**9:
        raise Invalid(f"{text[:40]!r} is no amount")
    return from_decimal(amount, currency)


def _day(text: str) -> date:
    """MM/DD/YYYY."""
    month, _, rest = text.partition("/")
    day, _, year = rest.partition("/")
    try:
        return date(int(year), int(month), int(day))
    except (ValueError, OverflowError) as error:
        raise Invalid(f"{text[:40]!r} is no day; Apple writes MM/DD/YYYY") from error


def stated(purchase: Purchase, shares: Sequence[ReportedShare]) -> Purchase:
    """The purchase with its tax and commission, where the report has its product, country, price and day; else as it is."""
    day = purchase.purchased_at.date()
    found = next(
        (
            one
            for one in shares
            if (one.product, one.country, one.price) == (purchase.product, purchase.country, purchase.price) and one.since <= day < one.until
        ),
        None,
    )
    if found is None:
        return purchase
    kept = found.price - found.share
    tax = found.price.times(taxes.included_share(purchase.country, day))
    if tax.amount > kept.amount:
        tax = Money(amount=0, currency=kept.currency)  # the report says that less was taken than the tax alone would be
    return replace(purchase, tax=tax, commission=kept - tax)


async def apply_report(
    database: Database,
    project_id: ProjectId,
    app_id: AppId,
    path: Path,
    *,
    is_dry_run: bool = False,
    watch: Callable[[int], None] = lambda purchases: None,
) -> ReportOutcome:
    """States what a report says of every purchase it covers; again, it changes nothing. `watch` hears how many purchases have got it."""
    shares, left_out = read_report(path)
    products = sorted({one.product for one in shares})
    reached = 0
    if shares:
        since, until = min(one.since for one in shares), max(one.until for one in shares)
        after = ""
        while True:
            async with database.transaction(project_id) as tx:
                lines = await subscriptions.sold_within(
                    tx, app_id, products, since=_midnight(since), until=_midnight(until), after=after, limit=_PAGE
                )
                said, purchases = _statements(lines, shares)
                if said and not is_dry_run:
                    await subscriptions.record(tx, said)
            reached += purchases
            watch(reached)
            if len(lines) < _PAGE:
                break
            after = lines[-1].line_id
    return ReportOutcome(reported=len(shares), left_out=tuple(left_out), purchases=reached)


def _statements(lines: Sequence[Line], shares: Sequence[ReportedShare]) -> tuple[list[Said], int]:
    said, purchases = [], 0
    for line in lines:
        changed = [new for held in line.held if (new := stated(held.purchase, shares)) != held.purchase]
        if changed:
            purchases += len(changed)
            statement = Statement(store=line.store, environment=line.environment, line=line.store_line, purchases=tuple(changed))
            said.append(Said(app_id=line.app_id, statement=statement))
    return said, purchases


def _midnight(day: date) -> datetime:
    return datetime.combine(day, time(), tzinfo=UTC)
