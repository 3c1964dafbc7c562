"""What another system tells of its customers' purchases, and what became of it here."""

from collections.abc import Mapping
from datetime import datetime
from typing import Literal

from perennial.base.ids import AppId, anonymous_app_user_id
from perennial.base.money import Money
from perennial.base.value import field, value
from perennial.catalog.model import App, Product
from perennial.customers.model import Attribute, is_app_user_id
from perennial.intake.model import Reading
from perennial.subscriptions.model import Environment, Offer, Ownership, PeriodType, Statement, Store

Source = Literal["export", "rows", "api", "receipts"]


@value
class Place:
    """Where a row stands, for people: its file and line, or the customer it was asked for."""

    name: str
    line: int

    def __str__(self) -> str:
        return f"{self.name}:{self.line}"


@value
class Row:
    """One period of a subscription, or one purchase, as a table of another system has it."""

    place: Place
    app_user_id: str
    store: Store
    environment: Environment
    line: str  # the store's key of the subscription: its first transaction
    transaction: str
    product: str
    purchased_at: datetime
    refused_name: str | None = None  # whom the source names, where `app_user_id` was made up: the name can be no customer's
    aliases: tuple[str, ...] = ()
    first_seen_at: datetime | None = None
    seen_country: str | None = None  # where the customer is thought to be; `country` is the store's
    attributes: Mapping[str, Attribute] = field(default_factory=dict)
    expires_at: datetime | None = None
    access_ends_at: datetime | None = None  # with grace and refunds, where it is told
    updated_at: datetime | None = None
    is_renewable: bool = True
    number: int = 1  # 1 for the line's first period; a proration has the number of the period it falls in
    is_numbered: bool = True  # False: the table does not say numbers
    original_purchased_at: datetime | None = None  # when the line was first bought, where it is told
    period_type: PeriodType = "normal"
    ownership: Ownership = "purchased"
    price: Money | None = None
    refunded: Money | None = None  # of `price`; with `refunded_at` and without this: all of it
    tax: Money | None = None
    commission: Money | None = None
    refunded_at: datetime | None = None
    unsubscribed_at: datetime | None = None
    billing_issue_at: datetime | None = None
    grace_until: datetime | None = None
    resumes_at: datetime | None = None
    offer: Offer | None = None
    country: str | None = None
    presented_offering: str | None = None

    @property
    def key(self) -> tuple[str, str, str]:
        return (self.store, self.environment, self.line)


def buyer_of(name: str, *line: str) -> tuple[str, str | None]:
    """The app user id a purchase moves in with, and the name its source gives the buyer where that can be no customer's.

    Such a purchase is an anonymous customer's: of the same one as others under that name, or, without any name, of its line's own.
    """
    if is_app_user_id(name):
        return name, None
    return anonymous_app_user_id(*(("import", name) if name.strip() else ("import", "", *line))), name


@value
class Refused:
    """A row that is not imported, and why. The others are."""

    place: Place
    reason: str
    rows: int = 1  # of its line, which is refused as a whole


@value
class Person:
    """Who bought: by their first id."""

    app_user_id: str
    aliases: tuple[str, ...] = ()
    first_seen_at: datetime | None = None
    country: str | None = None
    attributes: Mapping[str, Attribute] = field(default_factory=dict)


@value
class Told:
    """What another system tells of one line, ready to be recorded."""

    place: Place  # of its first row
    app_user_id: str
    app_id: AppId | None
    statement: Statement
    offerings: Mapping[str, str] = field(default_factory=dict)  # by transaction: where it was presented
    refused_name: str | None = None  # as a row's
    is_open: bool = False  # it ended lately, or its source is old: its store should be asked
    rows: int = 1

    @property
    def key(self) -> tuple[str, str, str]:
        return (self.statement.store, self.statement.environment, self.statement.line)


@value
class Batch:
    """So much as goes into one transaction. `reached` is where to go on after it."""

    people: tuple[Person, ...]
    told: tuple[Told, ...]
    refused: tuple[Refused, ...]
    rows: int
    reached: str
    readings: tuple[tuple[AppId, Reading], ...] = ()  # of receipts: what their stores want to be asked, and done
    suspicious: tuple["Finding", ...] = ()  # rows that are taken as they are, and that somebody should look at
    part: str = ""  # where a batch is taken line by line: which


@value
class Shelf:
    """What of the project rows are read with. `as_of` is how old their source is."""

    apps: tuple[App, ...]
    products: Mapping[tuple[str | None, str], Product]  # by (app, store identifier)
    as_of: datetime


@value
class Import:
    """How far an import got. Without `finished_at` it goes on there."""

    import_id: str
    source: Source
    name: str
    fingerprint: str
    started_at: datetime
    reached: str = ""
    rows: int = 0
    refused: int = 0
    customers: int = 0  # new ones
    lines: int = 0  # new ones
    changed: int = 0  # lines that were there and became different
    finished_at: datetime | None = None


Change = Literal[
    "refused", "refused name", "new customer", "new line", "changed end", "gained", "lost", "unknown product", "two customers", "suspicious"
]


@value
class Finding:
    """A line of the report: what an import does, would do, or would not."""

    change: Change
    subject: str
    detail: str = ""
    place: Place | None = None


@value
class Outcome:
    """What one batch did."""

    findings: tuple[Finding, ...]
    rows: int
    refused: int
    customers: int
    lines: int
    changed: int = 0  # lines that were there and became different
