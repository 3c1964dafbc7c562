"""Rows of other systems' tables, as statements of stores: what each column comes to."""

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from perennial.base.errors import Invalid
from perennial.base.ids import AppId, CustomerId, LineId
from perennial.base.money import Money
from perennial.catalog.model import App, Product
from perennial.customers.model import Attribute, is_anonymous
from perennial.imports import files, rules, tables
from perennial.imports.comparing import compare
from perennial.imports.model import Place, Refused, Row, Shelf, Told
from perennial.subscriptions.model import Line, Renewal, Revocation, Statement
from perennial.subscriptions.rules import access_until, auto_renew_off_at, merge, status
from tests.moving import exported, write

NOW = datetime(2026, 1, 31, 12, tzinfo=UTC)
PLACE = Place(name="full.csv", line=2)


def row(**cells: Any) -> Row:
    return tables.export_row(exported(**cells), PLACE)


def app(app_id: str, store: str = "app_store") -> App:
    return App(app_id=AppId(app_id), name=app_id, store=store, created_at=NOW)


def shelf(*apps: App, products: tuple[Product, ...] = ()) -> Shelf:
    return Shelf(apps=apps or (app("app_1"),), products={(one.app_id, one.store_identifier): one for one in products}, as_of=NOW)


def product(app_id: str, identifier: str, type: Any = "subscription") -> Product:
    return Product(product_id=f"{app_id}{identifier}", app_id=AppId(app_id), store_identifier=identifier, type=type, created_at=NOW)


def stated(*rows: Row) -> Statement:
    told = rules.told_of(rows, shelf())
    assert isinstance(told, Told)
    return told.statement


def line_of(statement: Statement) -> Line:
    empty = Line(
        line_id=LineId("sub_1"),
        customer_id=CustomerId("cus_1"),
        app_id=AppId("app_1"),
        store=statement.store,
        environment=statement.environment,
        store_line=statement.line,
        heard_at=NOW,
    )
    return merge(empty, statement, NOW)


# The vendor's columns ---------------------------------------------------------------------------------------------------------


def test_a_row_of_an_export():
    read = row(
        custom_subscriber_attributes='{"city": "Bonn"}', reserved_subscriber_attributes='{"$email": {"value": "a@b.c", "updated_at_ms": 1000}}'
    )
    assert (read.app_user_id, read.store, read.environment, read.line, read.transaction) == ("ada", "app_store", "production", "1000", "1000")
    assert (read.price, read.tax, read.commission) == tuple(Money(amount=cents, currency="EUR") for cents in (999, 190, 150))
    assert read.expires_at == datetime(2026, 2, 20, 12, tzinfo=UTC)
    assert read.attributes["city"].value == "Bonn"
    assert read.attributes["$email"] == Attribute(value="a@b.c", updated_at=datetime(1970, 1, 1, 0, 0, 1, tzinfo=UTC))


@pytest.mark.parametrize(
    ("cells", "price"),
    [
        ({"purchased_currency": "JPY", "purchase_price_in_purchased_currency": "500"}, Money(amount=500, currency="JPY")),
        ({"purchased_currency": "", "purchase_price_in_usd": "4.99"}, Money(amount=499, currency="USD")),
        ({"purchase_price_in_purchased_currency": "", "price_in_purchased_currency": "3.50"}, Money(amount=350, currency="EUR")),
        ({"purchased_currency": "", "purchase_price_in_usd": "", "price_in_usd": ""}, None),
    ],
)
def test_the_price_is_what_was_paid(cells: dict[str, str], price: Money | None):
    assert row(**cells).price == price


def test_what_does_not_renew_ends_by_its_effective_end():
    assert row(is_auto_renewable="false", end_time="").expires_at == datetime(2026, 2, 20, 12, tzinfo=UTC)
    assert row(is_auto_renewable="false", end_time="", effective_end_time="").expires_at is None


def test_older_exports_say_t_and_f_and_have_fewer_columns():
    cells = {name: cell for name, cell in exported(is_trial_period="t", is_sandbox="f").items() if cell}
    del cells["ownership_type"], cells["effective_end_time"], cells["updated_at"]
    read = tables.export_row(cells, PLACE)
    assert (read.period_type, read.environment, read.ownership, read.updated_at) == ("trial", "production", "purchased", None)


@pytest.mark.parametrize(
    ("cells", "said"),
    [
        ({"start_time": ""}, "start_time is empty"),
        ({"start_time": "31/01/2026"}, "is not a moment"),
        ({"store": "galaxy"}, "is none whose purchases are held here"),
        ({"is_sandbox": "maybe"}, "neither true nor false"),
        ({"renewal_number": "-1"}, "is not a number"),
        ({"tax_percentage": "19"}, "not a share"),
        ({"purchase_price_in_purchased_currency": "NaN"}, "is not an amount"),
        ({"purchase_price_in_purchased_currency": "1e30"}, "is not an amount"),
        ({"purchased_currency": "EURO"}, "is not a currency"),
        ({"store_transaction_id": "x" * 501}, "longer than 500"),
        ({"custom_subscriber_attributes": "{"}, "is not a JSON object"),
    ],
)
def test_what_a_row_may_not_say(cells: dict[str, str], said: str):
    with pytest.raises(Invalid, match=said):
        row(**cells)


@pytest.mark.parametrize("name", ["a/b", "undefined", "x" * 101, ""])
def test_a_row_under_a_name_nobody_can_have_is_an_anonymous_customer_s(name: str):
    read = row(rc_original_app_user_id=name)
    assert read.refused_name == name and is_anonymous(read.app_user_id) and read.aliases == ()
    again, other = row(rc_original_app_user_id=name), row(rc_original_app_user_id=name, original_store_transaction_id="2000")
    assert again.app_user_id == read.app_user_id
    assert (other.app_user_id == read.app_user_id) == bool(name)  # without a name each line is somebody of its own


# Statements -------------------------------------------------------------------------------------------------------------------


def test_a_running_subscription():
    statement = stated(row())
    [purchase] = statement.purchases
    assert (purchase.is_first, purchase.is_renewal, purchase.is_summary, purchase.as_of) == (True, False, True, datetime(2026, 1, 31, 6, tzinfo=UTC))
    assert statement.renewals == (Renewal(as_of=datetime(2026, 1, 20, 12, tzinfo=UTC), transaction="1000", auto_renew=True),)
    assert status(line_of(statement), NOW) == "active"


def test_one_that_was_cancelled_and_is_over():
    gone = {"start_time": "2025-10-01", "end_time": "2025-11-01", "effective_end_time": "2025-11-01", "unsubscribe_detected_at": "2025-10-05"}
    line = line_of(stated(row(**gone)))
    assert [(one.as_of.date().isoformat(), one.auto_renew, one.ended) for one in line.renewals] == [
        ("2025-10-05", False, None),
        ("2025-11-01", False, "unsubscribe"),
    ]
    assert auto_renew_off_at(line) == datetime(2025, 10, 5, tzinfo=UTC)
    assert status(line, NOW) == "expired"


def test_one_that_ended_only_now_is_left_open_as_what_followed_may_not_be_in_the_file_yet():
    told = rules.told_of([row(start_time="2025-12-31", end_time="2026-01-31 06:00:00", effective_end_time="2026-01-31 06:00:00")], shelf())
    assert isinstance(told, Told) and told.is_open
    assert [one.ended for one in told.statement.renewals] == [None]


def test_grace_and_failed_charges():
    cells = {
        "end_time": "2026-01-30",
        "effective_end_time": "2026-02-10",
        "grace_period_end_time": "2026-02-10",
        "billing_issues_detected_at": "2026-01-30",
    }
    line = line_of(stated(row(start_time="2025-12-30", **cells)))
    assert access_until(line) == datetime(2026, 2, 10, tzinfo=UTC)
    assert status(line, NOW) == "in_grace_period"


def test_a_refund_takes_access_where_the_source_says_so():
    [taken] = stated(row(refunded_at="2026-01-25", effective_end_time="2026-01-25", price_in_purchased_currency="0")).purchases
    assert taken.revocation == Revocation(at=datetime(2026, 1, 25, tzinfo=UTC), refunded=True)
    [part] = stated(row(refunded_at="2026-01-25", price_in_purchased_currency="4.99")).purchases
    assert part.revocation is None and part.refunds[0].amount == Money(amount=500, currency="EUR")
    [cut] = stated(row(effective_end_time="2026-01-25")).purchases
    assert cut.revocation == Revocation(at=datetime(2026, 1, 25, tzinfo=UTC), refunded=False, share_ppm=0)


def test_a_renewal_called_like_the_first_has_a_key_of_its_own():
    first, second = row(), row(renewal_number=2, start_time="2026-02-20 12:00:00", end_time="2026-03-20", effective_end_time="2026-03-20")
    assert [one.transaction for one in stated(first, second).purchases] == ["1000", "1000#2"]


def test_an_upgrade_within_a_period_takes_its_place():
    first = row()
    up = row(store_transaction_id=1001, renewal_number=2, product_identifier="pro_annual", start_time="2026-01-25", end_time="2027-01-25", effective_end_time="2027-01-25")  # noqa: E501  # fmt: skip
    purchases = stated(first, up).purchases
    assert [one.is_renewal for one in purchases] == [False, False]


def test_a_row_with_the_number_of_the_period_it_falls_in_is_a_proration():
    first = row(end_time="2026-02-20 12:00:00", effective_end_time="2026-01-25")
    more = row(store_transaction_id=1001, start_time="2026-01-25", end_time="2026-02-20 12:00:00", effective_end_time="2026-02-20 12:00:00")
    second = row(store_transaction_id=1002, renewal_number=2, start_time="2026-02-20 12:00:00", end_time="2026-03-20")
    purchases = stated(first, more, second).purchases
    assert [(one.is_first, one.is_proration, one.is_renewal) for one in purchases] == [
        (True, False, False),
        (False, True, False),
        (False, False, True),
    ]


def test_what_google_never_got_paid_for_costs_nothing():
    [void] = stated(row(store="app_store", end_time="2026-01-19", effective_end_time="2026-01-19")).purchases
    assert void.price is None


def test_the_app_is_the_one_of_the_store_or_the_one_that_sells_it():
    one, two, other = app("app_1"), app("app_2"), app("app_3", "stripe")
    assert rules.app_of(row(), [one, other], {}) == "app_1"
    sells = {("app_2", "pro_monthly"): product("app_2", "pro_monthly")}
    assert rules.app_of(row(), [one, two], sells) == "app_2"
    both = {**sells, ("app_1", "pro_monthly"): product("app_1", "pro_monthly")}
    for known, said in ((both, "several apps sell"), ({}, "none sells")):
        refused = rules.app_of(row(), [one, two], known)
        assert isinstance(refused, Refused) and said in refused.reason
    missing = rules.app_of(row(store="amazon"), [one], {})
    assert isinstance(missing, Refused) and "no app of amazon" in missing.reason
    assert rules.app_of(row(store="promotional"), [], {}) is None


def test_kinds_are_the_catalogs_to_say():
    def kind(type: str | None, **cells: str) -> str:
        known = (product("app_1", "pro_monthly", type),) if type else ()
        told = rules.told_of([row(is_auto_renewable="false", end_time="", **cells)], shelf(products=known))
        assert isinstance(told, Told)
        return told.statement.purchases[0].kind

    assert kind("consumable", effective_end_time="") == "consumable"
    assert kind(None, effective_end_time="") == "non_consumable"
    assert kind("non_renewing_subscription") == "non_renewing"
    assert kind("subscription") == "subscription", "a prepaid plan"


# Our own table ----------------------------------------------------------------------------------------------------------------


def test_a_row_of_our_own():
    cells = {"app_user_id": "ada", "store": "stripe", "product_id": "pro", "transaction_id": "in_2", "original_transaction_id": "sub_1"}
    read = tables.own_row({**cells, "purchased_at": "2026-01-31T12:00:00+01:00", "price": "5", "currency": "usd", "aliases": "a b"}, PLACE)
    assert (read.purchased_at, read.number, read.is_renewable) == (datetime(2026, 1, 31, 11, tzinfo=UTC), 2, False)
    assert (read.price, read.aliases) == (Money(amount=500, currency="USD"), ("a", "b"))


# Files ------------------------------------------------------------------------------------------------------------------------


def test_sorting_on_disk_brings_a_line_together_whatever_the_order(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(files, "RUN", 3)
    rows = [exported(rc_original_app_user_id=f"u{number % 4}", store_transaction_id=number) for number in range(10)]
    path = write(tmp_path / "full.csv.gz", rows)
    *_, found = files.sort([path], tables.EXPORT_NEEDS, ["rc_original_app_user_id"], tmp_path, newest="updated_at")
    assert isinstance(found, files.Sorted)
    assert (len(found.runs), found.count, found.newest) == (4, 10, "2026-01-31 06:00:00")
    merged = [(cells["rc_original_app_user_id"], cells["store_transaction_id"], place.line) for place, cells in files.merged(found.runs)]
    assert merged == sorted(((f"u{number % 4}", str(number), number + 2) for number in range(10)), key=lambda one: (one[0], int(one[1])))


def test_another_table_is_refused_whole(tmp_path: Path):
    path = tmp_path / "other.csv"
    path.write_text("id,name\n1,x\n")
    with pytest.raises(Invalid, match="has no column rc_original_app_user_id"):
        list(files.rows_of(path, tables.EXPORT_NEEDS))


def test_lines_are_counted_as_an_editor_does(tmp_path: Path):
    path = tmp_path / "lines.csv"
    path.write_text('app_user_id,token\na,"x\ny"\nb\nc,z\n')
    assert [(place.line, cells if isinstance(cells, str) else cells["app_user_id"]) for place, cells in files.rows_of(path, ["token"])] == [
        (3, "a"),
        (4, "it has 1 columns, and the header 2"),
        (5, "c"),
    ]


# Comparing --------------------------------------------------------------------------------------------------------------------


def test_moments_may_differ_a_little_and_what_was_noticed_when_does_not_count():
    def subscriber(end: str, off: str | None) -> dict[str, Any]:
        return {
            "entitlements": {"pro": {"expires_date": end, "product_identifier": "m", "purchase_date": None}},
            "subscriptions": {"m": {"expires_date": end, "unsubscribe_detected_at": off, "store": "app_store"}},
        }

    left = subscriber("2026-02-01T00:00:00Z", "2026-01-01T00:00:00Z")
    assert compare("ada", left, subscriber("2026-02-01T00:00:30Z", "2026-01-09T00:00:00Z"), NOW, 60) == []
    assert [one.field for one in compare("ada", left, subscriber("2026-02-01T00:02:00Z", None), NOW, 60)] == [
        "entitlements.pro.expires_date",
        "subscriptions.m.expires_date",
        "subscriptions.m.unsubscribe_detected_at",
    ]
    lost = compare("ada", left, {**left, "entitlements": {}}, NOW, 60)
    assert [(one.field, one.weight, one.ours, one.kind) for one in lost] == [("entitlements.pro", "access", "missing", "entitlements")]
    assert compare("ada", left, left, NOW + timedelta(days=99), 0) == []
