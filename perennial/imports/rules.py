"""Rows of another system as statements of stores: pure.

What a table of transactions tells is less than a store's word: it counts as a summary, and whatever a store says of the same transaction counts
before it. How a line goes on is said by snapshots dated by the row's own dates, so that the same row always makes the same ones.
"""

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from fractions import Fraction
from itertools import groupby

from perennial.base.ids import AppId
from perennial.base.value import replace
from perennial.catalog.model import App, Product
from perennial.imports.model import Batch, Finding, Person, Place, Refused, Row, Shelf, Told
from perennial.subscriptions import access_end
from perennial.subscriptions.model import EndReason, Kind, Line, Purchase, Refund, Renewal, Revocation, Statement

# How old a period's end must be in a source before nothing more is expected to have followed it. As long as we wait for stores.
SETTLED_AFTER = timedelta(hours=24)
_SECOND = timedelta(seconds=1)
# ISO 4217, those in use (2025), and what of its older codes the histories of stores still hold.
_CODES = (
    "AEDAFNALLAMDANGAOAARSAUDAWGAZNBAMBBDBDTBGNBHDBIFBMDBNDBOBBRLBSDBTNBWPBYNBZDCADCDFCHFCLFCLPCNYCOPCRCCUPCVECZK"
    "DJFDKKDOPDZDEGPERNETBEURFJDFKPGBPGELGHSGIPGMDGNFGTQGYDHKDHNLHRKHTGHUFIDRILSINRIQDIRRISKJMDJODJPYKESKGSKHRKMF"
    "KPWKRWKWDKYDKZTLAKLBPLKRLRDLSLLYDMADMDLMGAMKDMMKMNTMOPMRUMURMVRMWKMXNMYRMZNNADNGNNIONOKNPRNZDOMRPABPENPGKPHP"
    "PKRPLNPYGQARRONRSDRUBRWFSARSBDSCRSDGSEKSGDSHPSLESLLSOSSRDSSPSTNSVCSYPSZLTHBTJSTMTTNDTOPTRYTTDTWDTZSUAHUGXUSD"
    "UYUUZSVEDVESVNDVUVWSTXAFXCDXCGXOFXPFYERZARZMWZWGZWL"
)
CURRENCIES = frozenset(_CODES[at : at + 3] for at in range(0, len(_CODES), 3))
_KINDS: dict[str, Kind] = {
    "subscription": "subscription",
    "consumable": "consumable",
    "non_renewing_subscription": "non_renewing",
    "non_consumable": "non_consumable",
    "one_time": "non_consumable",
}

Products = Mapping[tuple[str | None, str], Product]  # by (app, store identifier)


# Lines ------------------------------------------------------------------------------------------------------------------------


def batch_of(rows: Sequence[Row], shelf: Shelf, refused: Sequence[Refused], *, count: int, reached: str) -> Batch:
    """Rows of whole customers, ready to be recorded."""
    rows = sorted(rows, key=lambda row: (row.app_user_id, row.key))
    suspicious = [finding for _, of_one in groupby(rows, key=lambda row: row.app_user_id) for finding in suspicions(list(of_one))]
    told = [told_of(list(of_one), shelf) for _, of_one in groupby(rows, key=lambda row: (row.app_user_id, row.key))]
    return Batch(
        people=tuple(people_of(rows)),
        told=tuple(one for one in told if isinstance(one, Told)),
        refused=(*refused, *(one for one in told if isinstance(one, Refused))),
        rows=count,
        reached=reached,
        suspicious=tuple(suspicious),
    )


def suspicions(rows: Sequence[Row]) -> Iterator[Finding]:
    """What a person should look at in the rows of one customer. They are imported as they are."""
    seen: dict[tuple[str, str, str, int], Row] = {}
    for row in sorted(rows, key=lambda row: (row.place.name, row.place.line)):
        problems = [problem for problem in (_about_time(row), _about_money(row)) if problem]
        key = (row.store, row.environment, row.transaction, row.number)
        if (first := seen.setdefault(key, row)) is not row:
            named = [
                name
                for name, one, other in (("ends", first.expires_at, row.expires_at), ("prices", first.price, row.price))
                if one is not None and other is not None and one != other
            ]
            if named:
                problems.append(f"transaction {row.transaction} has two {' and two '.join(named)}: another is in {first.place}")
        for problem in problems:
            yield Finding(change="suspicious", subject=row.transaction, detail=problem, place=row.place)


def _about_time(row: Row) -> str | None:
    if row.expires_at is None:
        is_endless = row.is_renewable and row.store != "promotional"
        return "a subscription without an end: it gives access for ever" if is_endless else None
    if row.expires_at < row.purchased_at and row.store != "play_store":  # Google's way to say that it was never paid
        return f"it ends ({row.expires_at:%Y-%m-%d %H:%M}) before it begins ({row.purchased_at:%Y-%m-%d %H:%M})"
    return None


def _about_money(row: Row) -> str | None:
    if row.price is None:
        return None
    if row.price.amount < 0:
        return f"a negative price: {row.price.major} {row.price.currency}"
    return None if row.price.currency in CURRENCIES else f"an unknown currency: {row.price.currency}"


def told_of(rows: Sequence[Row], shelf: Shelf) -> Told | Refused:
    """What the rows of one line tell."""
    first = rows[0]
    app_id = app_of(first, shelf.apps, shelf.products)
    if isinstance(app_id, Refused):
        return replace(app_id, rows=len(rows))
    statement = statement_of(rows, _kinds(rows, app_id, shelf.products), shelf.as_of)
    last = statement.purchases[-1]
    return Told(
        place=first.place,
        app_user_id=rows[-1].app_user_id,
        app_id=app_id,
        statement=statement,
        offerings={transaction_of(row): row.presented_offering for row in rows if row.presented_offering},
        refused_name=rows[-1].refused_name,
        is_open=last.expires_at is not None and last.revocation is None and not any(one.ended for one in statement.renewals),
        rows=len(rows),
    )


def app_of(row: Row, apps: Sequence[App], products: Products) -> AppId | Refused | None:
    """The app it was bought in: the store's only one, or the only one that sells the product. None for what was granted by hand."""
    if row.store == "promotional":
        return None
    of_store = [app.app_id for app in apps if app.store == row.store]
    selling = [app_id for app_id in of_store if (app_id, row.product) in products]
    for candidates in (of_store, selling):
        if len(candidates) == 1:
            return candidates[0]
    if not of_store:
        return Refused(place=row.place, reason=f"this project has no app of {row.store}; make one with: perennial apps create --store {row.store}")
    problem = "several apps sell" if selling else f"there are {len(of_store)} apps of {row.store}, and none sells"
    return Refused(place=row.place, reason=f"{problem} {row.product!r}; say which app it is with --app")


def _kinds(rows: Sequence[Row], app_id: AppId | None, products: Products) -> dict[str, Kind]:
    """What each product is: by the catalog, or else by how it was sold."""
    kinds: dict[str, Kind] = {}
    for row in rows:
        known = products.get((app_id, row.product))
        sold: Kind = "subscription" if row.is_renewable or row.store == "promotional" or row.expires_at is not None else "non_consumable"
        kinds[row.product] = _KINDS[known.type] if known is not None and not row.is_renewable else sold
    return kinds


def statement_of(rows: Sequence[Row], kinds: Mapping[str, Kind], as_of: datetime) -> Statement:
    ordered = sorted(rows, key=lambda row: (row.purchased_at, row.number, row.transaction))
    purchases = tuple(_purchase(row, before, kinds[row.product]) for before, row in zip([None, *ordered], ordered, strict=False))
    first = ordered[0]
    return Statement(
        store=first.store,
        environment=first.environment,
        line=first.line,
        purchases=purchases,
        renewals=tuple(_renewals(ordered[-1], purchases[-1], as_of)) if purchases[-1].kind == "subscription" and first.store != "promotional" else (),
        app_user_id=ordered[-1].app_user_id,
        original_purchased_at=min((row.original_purchased_at for row in ordered if row.original_purchased_at is not None), default=None),
    )


def transaction_of(row: Row) -> str:
    """Its own key. Some stores call every renewal by the first one's: then its number tells them apart."""
    return f"{row.transaction}#{row.number}" if row.number > 1 and row.transaction == row.line else row.transaction


# Purchases --------------------------------------------------------------------------------------------------------------------


def _purchase(row: Row, before: Row | None, kind: Kind) -> Purchase:
    is_void = row.expires_at is not None and row.expires_at < row.purchased_at  # Google's way to say that it was never paid
    is_proration = kind == "subscription" and _is_within(row, before)
    return Purchase(
        transaction=transaction_of(row),
        product=row.product,
        kind=kind,
        purchased_at=row.purchased_at,
        expires_at=row.expires_at,
        as_of=row.updated_at or max(filter(None, (row.purchased_at, row.refunded_at))),
        is_first=row.number == 1 and not is_proration,
        is_renewal=row.number > 1 and kind == "subscription" and not is_proration and not _is_bought_anew(row, before),
        is_proration=is_proration,
        period_type=row.period_type,
        ownership=row.ownership,
        price=None if is_void else row.price,
        tax=None if is_void else row.tax,
        commission=None if is_void else row.commission,
        offer=row.offer,
        country=row.country,
        revocation=_revocation(row),
        refunds=_refunds(row),
        is_summary=True,
    )


def _is_within(row: Row, before: Row | None) -> bool:
    """A proration: it has the number of the period before it, and falls in it."""
    if before is None or not (row.is_numbered and before.is_numbered) or row.number != before.number:
        return False
    return before.expires_at is not None and row.purchased_at < before.expires_at


def _is_bought_anew(row: Row, before: Row | None) -> bool:
    """An act of the customer, not the store's: into another product before the period was over."""
    return before is not None and before.product != row.product and before.expires_at is not None and row.purchased_at < before.expires_at


def _revocation(row: Row) -> Revocation | None:
    if row.refunded_at is None and row.access_ends_at is not None and row.expires_at is not None and row.access_ends_at + _SECOND < row.expires_at:
        return Revocation(at=row.access_ends_at, refunded=False, share_ppm=0)  # taken back, or replaced, before its time
    if row.refunded_at is None or _keeps_access(row):
        return None
    share = Fraction(row.refunded.amount, row.price.amount) if row.refunded and row.price and row.price.amount else Fraction(1)
    return Revocation(at=row.refunded_at, refunded=True, share_ppm=round(share * 1_000_000))


def _keeps_access(row: Row) -> bool:
    """Refunded, and yet to be served on: known where the source tells when access ends."""
    return row.refunded_at is not None and row.access_ends_at is not None and row.access_ends_at > row.refunded_at + _SECOND


def _refunds(row: Row) -> tuple[Refund, ...]:
    given = row.refunded or row.price
    if row.refunded_at is None or not _keeps_access(row) or given is None or given.amount <= 0:
        return ()
    return (Refund(identifier=f"{transaction_of(row)} refunded", at=row.refunded_at, amount=given),)


# How it goes on ---------------------------------------------------------------------------------------------------------------


def _renewals(row: Row, purchase: Purchase, as_of: datetime) -> Iterator[Renewal]:
    """What the line's last row says, in the order it became so: it runs, it was cancelled, it could not be charged, it is over."""
    present = Renewal(as_of=row.purchased_at, transaction=purchase.transaction, auto_renew=row.is_renewable or None)
    if row.is_renewable and row.unsubscribed_at is None and row.billing_issue_at is None and row.resumes_at is None:
        yield present
    for moment in sorted({moment for moment in (row.unsubscribed_at, row.billing_issue_at) if moment is not None}):
        present = _changed(present, row, moment)
        yield present
    if row.resumes_at is not None:
        present = replace(
            present, as_of=present.as_of + _SECOND, pause="in_force" if _is_over(row, as_of) else "scheduled", resumes_at=row.resumes_at
        )
        yield present
    elif _is_over(row, as_of):
        end = row.access_ends_at or row.expires_at
        assert end is not None
        yield replace(present, as_of=max(end, present.as_of + _SECOND), ended=_end_reason(row), in_billing_retry=False)


def _changed(present: Renewal, row: Row, moment: datetime) -> Renewal:
    if moment == row.unsubscribed_at:
        present = replace(present, auto_renew=False, off_reason="unsubscribe" if row.billing_issue_at is None else "billing_error")
    if moment == row.billing_issue_at:
        present = replace(present, in_billing_retry=True, grace_until=row.grace_until)
    return replace(present, as_of=moment)


def _is_over(row: Row, as_of: datetime) -> bool:
    """For so long that what followed would stand in the source."""
    ends = [moment for moment in (row.access_ends_at, row.expires_at) if moment is not None]
    return bool(ends) and max(ends) + SETTLED_AFTER <= as_of


def _end_reason(row: Row) -> EndReason:
    if row.billing_issue_at is not None:
        return "billing_error"
    return "unsubscribe" if row.unsubscribed_at is not None or not row.is_renewable else "unknown"


# People -----------------------------------------------------------------------------------------------------------------------


def people_of(rows: Sequence[Row]) -> list[Person]:
    """Everyone named, by first id, with all that their rows tell of them: rows of one customer stand together."""
    return [_person(app_user_id, list(of_one)) for app_user_id, of_one in groupby(rows, key=lambda row: row.app_user_id)]


def _person(app_user_id: str, rows: Sequence[Row]) -> Person:
    newest = max(rows, key=lambda row: row.updated_at or row.purchased_at)
    first_seen = [moment for row in rows for moment in (row.first_seen_at,) if moment is not None]
    return Person(
        app_user_id=app_user_id,
        aliases=tuple(alias for alias in dict.fromkeys(alias for row in rows for alias in row.aliases) if alias != app_user_id),
        first_seen_at=min(first_seen, default=None),
        country=newest.seen_country,
        attributes=newest.attributes,
    )


# What it changes --------------------------------------------------------------------------------------------------------------


def line_changes(before: Line | None, after: Line, place: Place) -> list[Finding]:
    """What the import does to one line: it is new, or it ends at another time."""
    subject = f"{after.store} {after.store_line}"
    if before is None:
        return [Finding(change="new line", subject=subject, detail=_end(after), place=place)]
    if _end(before) != _end(after):
        return [Finding(change="changed end", subject=subject, detail=f"{_end(before)} -> {_end(after)}", place=place)]
    return []


def _end(line: Line) -> str:
    return max((access_end(line, held).isoformat() for held in line.held), default="never")


def access_changes(app_user_id: str, before: Sequence[Line], after: Sequence[Line], products: Products, now: datetime) -> list[Finding]:
    """Entitlements a customer has at `now` after the import and not before, or the other way."""
    had, has = _entitled(before, products, now), _entitled(after, products, now)
    return [
        *(Finding(change="gained", subject=app_user_id, detail=one) for one in sorted(has - had)),
        *(Finding(change="lost", subject=app_user_id, detail=one) for one in sorted(had - has)),
    ]


def _entitled(lines: Sequence[Line], products: Products, now: datetime) -> set[str]:
    running = [(line.app_id, held.purchase.product) for line in lines for held in line.held if access_end(line, held) > now]
    return {lookup_key for pair in running if pair in products for lookup_key in products[pair].entitlements}


def news(statement: Statement, known: Line | None) -> Statement:
    """Without what only repeats how the line goes on."""
    renewals = tuple(renewal for renewal in statement.renewals if not says_nothing_new(known, renewal))
    return statement if len(renewals) == len(statement.renewals) else replace(statement, renewals=renewals)


def by_offering(statement: Statement, offerings: Mapping[str, str]) -> list[tuple[str | None, Statement]]:
    """A statement for each place its purchases were presented; of most lines nobody knows."""
    if not offerings:
        return [(None, statement)]
    parts: dict[str | None, list[Purchase]] = {}
    for purchase in statement.purchases:
        parts.setdefault(offerings.get(purchase.transaction), []).append(purchase)
    return [(offering, replace(statement, purchases=tuple(part))) for offering, part in parts.items()]


def says_nothing_new(known: Line | None, renewal: Renewal) -> bool:
    """Whether it only repeats, under a later date, what we know to be so: asking again every day is not a history."""
    if known is None or not known.renewals:
        return False
    return replace(renewal, as_of=known.renewals[-1].as_of) == known.renewals[-1]
