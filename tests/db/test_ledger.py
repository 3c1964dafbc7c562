"""The ledger on a real database: each key once, nothing below zero, nothing rewritten, and plans that do not walk it as a whole."""

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime

import asyncpg
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from perennial import ledger
from perennial.base.db import Database
from perennial.base.ids import ProjectId, new_id
from perennial.base.time import wall_clock
from perennial.ledger import Insufficient, Transfer, money, virtual

NOON = datetime(2030, 5, 1, 12, tzinfo=UTC)
GOLD = virtual("GLD")
EUR = money("EUR")


@pytest.fixture
async def database(database_url: str) -> AsyncIterator[Database]:
    opened = await Database.open(database_url, connections=12)
    yield opened
    await opened.close()


@pytest.fixture
async def project_id(database: Database) -> ProjectId:
    return await create_project(database)


async def create_project(database: Database) -> ProjectId:
    project_id = ProjectId(new_id("proj", wall_clock()))
    async with database.transaction(project_id) as tx:
        await tx.execute(
            "INSERT INTO project (project_id, name, is_sandbox, clock_at, created_at) VALUES (%(id)s, 'A story', TRUE, %(noon)s, %(noon)s)",
            id=project_id,
            noon=NOON,
        )
    return project_id


def move(key: str, source: str, target: str, amount: int, unit: ledger.Unit = GOLD) -> Transfer:
    return Transfer(key=key, from_account=source, to_account=target, amount=amount, unit=unit, kind="test", happened_at=NOON, reference="a test")


async def post(database: Database, project_id: ProjectId, *transfers: Transfer) -> set[str]:
    async with database.transaction(project_id) as tx:
        return await ledger.post(tx, transfers)


async def balances(database: Database, project_id: ProjectId, *accounts: str) -> dict[str, dict[ledger.Unit, int]]:
    async with database.transaction(project_id) as tx:
        return await ledger.balance(tx, accounts)


async def test_a_transfer_is_posted_once_however_often_it_is_sent(database: Database, project_id: ProjectId):
    sale = move("sale", "customers", "revenue", 499, EUR)
    assert await post(database, project_id, sale, sale) == {"sale"}
    assert await post(database, project_id, sale, move("fee", "revenue", "fees", 15, EUR)) == {"fee"}
    assert await balances(database, project_id, "customers", "revenue", "fees", "nobody") == {
        "customers": {EUR: -499},
        "revenue": {EUR: 484},
        "fees": {EUR: 15},
    }


async def test_a_key_cannot_be_used_for_another_transfer(database: Database, project_id: ProjectId):
    await post(database, project_id, move("sale", "customers", "revenue", 499, EUR))
    with pytest.raises(AssertionError, match="another transfer under the key sale"):
        await post(database, project_id, move("sale", "customers", "revenue", 500, EUR))
    with pytest.raises(AssertionError, match="two different transfers have the key x"):
        await post(database, project_id, move("x", "a", "b", 1), move("x", "a", "b", 2))
    assert await balances(database, project_id, "revenue") == {"revenue": {EUR: 499}}


async def test_units_do_not_mix_whatever_their_codes(database: Database, project_id: ProjectId):
    await post(database, project_id, move("1", "a", "b", 5, money("USD")), move("2", "a", "b", 7, virtual("USD")), move("3", "b", "a", 1, EUR))
    assert await balances(database, project_id, "b") == {"b": {money("USD"): 5, virtual("USD"): 7, EUR: -1}}


async def test_one_project_s_ledger_is_not_another_s(database: Database, project_id: ProjectId):
    other = await create_project(database)
    await post(database, project_id, move("1", "a", "wallet/ada/GLD", 5))
    await post(database, other, move("1", "a", "wallet/ada/GLD", 8))
    assert await balances(database, project_id, "a", "wallet/ada/GLD") == {"a": {GOLD: -5}, "wallet/ada/GLD": {GOLD: 5}}


async def test_a_wallet_never_goes_below_zero(database: Database, project_id: ProjectId):
    await post(database, project_id, move("in", "issued", "wallet/ada/GLD", 10))
    with pytest.raises(Insufficient, match="wallet/ada/GLD"):
        await post(database, project_id, move("out", "wallet/ada/GLD", "spent", 11), move("other", "issued", "wallet/bob/GLD", 1))
    assert await balances(database, project_id, "wallet/ada/GLD", "wallet/bob/GLD", "spent") == {"wallet/ada/GLD": {GOLD: 10}}
    with pytest.raises(Insufficient):
        await post(database, project_id, move("of nobody", "wallet/eve/GLD", "spent", 1))
    assert await post(database, project_id, move("all", "wallet/ada/GLD", "spent", 10)) == {"all"}


async def test_within_one_posting_only_the_end_counts(database: Database, project_id: ProjectId):
    await post(database, project_id, move("1", "wallet/ada/GLD", "spent", 3), move("2", "issued", "wallet/ada/GLD", 4))
    assert await balances(database, project_id, "wallet/ada/GLD") == {"wallet/ada/GLD": {GOLD: 1}}


async def test_many_who_spend_at_once_spend_no_more_than_there_is(database: Database, project_id: ProjectId):
    await post(database, project_id, move("in", "issued", "wallet/ada/GLD", 10))
    spendings = [post(database, project_id, move(f"out {number}", "wallet/ada/GLD", "spent", 3)) for number in range(12)]
    answers = await asyncio.gather(*spendings, return_exceptions=True)
    assert sum(isinstance(one, set) for one in answers) == 3
    assert sum(isinstance(one, Insufficient) for one in answers) == 9
    assert await balances(database, project_id, "wallet/ada/GLD", "spent") == {"wallet/ada/GLD": {GOLD: 1}, "spent": {GOLD: 9}}


async def test_the_same_key_at_once_moves_once(database: Database, project_id: ProjectId):
    answers = await asyncio.gather(*(post(database, project_id, move("in", "issued", "wallet/ada/GLD", 10)) for _ in range(12)))
    assert sorted(map(len, answers)) == [0] * 11 + [1]
    assert await balances(database, project_id, "wallet/ada/GLD") == {"wallet/ada/GLD": {GOLD: 10}}


async def test_wallets_taken_in_any_order_do_not_wait_for_each_other_for_ever(database: Database, project_id: ProjectId):
    everybody = [f"wallet/{name}/GLD" for name in "abcdef"]
    rounds = [
        post(database, project_id, *(move(f"{number} {account}", "issued", account, 1) for account in (everybody if number % 2 else everybody[::-1])))
        for number in range(20)
    ]
    await asyncio.gather(*rounds)
    assert await balances(database, project_id, *everybody) == {account: {GOLD: 20} for account in everybody}


async def test_what_was_posted_is_neither_changed_nor_deleted(database: Database, project_id: ProjectId):
    await post(database, project_id, move("1", "a", "b", 5))
    for sql in ("UPDATE transfer SET amount = 6", "DELETE FROM transfer", "TRUNCATE transfer"):
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            async with database.transaction(project_id) as tx:
                await tx.execute(sql)  # type: ignore[arg-type]


@pytest.mark.parametrize(("column", "text"), [("amount", "0"), ("amount", "-1"), ("to_account", "a"), ("from_account", ""), ("currency", "gold")])
async def test_the_database_itself_refuses_nonsense(database: Database, project_id: ProjectId, column: str, text: str):
    facts = {"key": "k", "from_account": "a", "to_account": "b", "amount": "1", "currency": "EUR"} | {column: text}
    with pytest.raises(asyncpg.CheckViolationError):
        async with database.transaction(project_id) as tx:
            await tx.execute(
                """
                INSERT INTO transfer (project_id, key, transfer_id, from_account, to_account, amount, unit, currency, kind, happened_at, recorded_at)
                VALUES (%(id)s, %(key)s, 't', %(source)s, %(target)s, %(amount)s, 'money', %(currency)s, 'x', %(now)s, %(now)s)
                """,
                id=project_id,
                key=facts["key"],
                source=facts["from_account"],
                target=facts["to_account"],
                amount=int(facts["amount"]),
                currency=facts["currency"],
                now=tx.now,
            )


async def test_what_lies_under_a_path_is_found_and_what_lies_beside_it_is_not(database: Database, project_id: ProjectId):
    accounts = ["wallet/cus_1/GLD", "wallet/cus_1/GLD/lot", "wallet/cus_1/SLV", "wallet/cus_10/GLD", "wallet/cus_2/GLD"]
    await post(database, project_id, *(move(account, "issued", account, number) for number, account in enumerate(accounts, 1)))
    async with database.transaction(project_id) as tx:
        found = await ledger.under(tx, ["wallet/cus_1/", "wallet/cus_3/"])
    assert found == {account: {GOLD: number} for number, account in enumerate(accounts[:3], 1)}


async def test_a_history_is_read_page_by_page_the_newest_first(database: Database, project_id: ProjectId):
    for number in range(7):
        source, target = ("a", "b") if number % 2 else ("b", "a")
        await post(database, project_id, move(str(number), source, target, number + 1), move(f"{number} elsewhere", "x", "y", 1))
    seen: list[str] = []
    before = None
    async with database.transaction(project_id) as tx:
        while page := await ledger.history(tx, "a", before=before, limit=3):
            seen += [one.transfer.key for one in page]
            before = page[-1].transfer_id
            assert page[0].recorded_at == NOON
    assert sorted(seen) == [str(number) for number in range(7)]
    assert len(seen) == 7


async def test_balances_and_histories_walk_the_indexes_alone(database: Database, project_id: ProjectId):
    """A busy account has no row that all wait for; its sum must not read the whole ledger either."""
    async with database.transaction(project_id) as tx:
        await ledger.post(tx, [move(str(number), f"a{number % 50}", f"b{number % 50}", 1, EUR) for number in range(5000)])
        sums = await tx.fetch(
            """
            EXPLAIN SELECT wanted.account, t.unit, t.currency, sum(t.amount)::bigint AS balance
            FROM unnest(%(accounts)s::text[]) AS wanted (account)
            CROSS JOIN LATERAL (
              (SELECT unit, currency, amount FROM transfer WHERE project_id = %(project_id)s AND to_account = wanted.account
               ORDER BY transfer_id OFFSET 0)
              UNION ALL
              (SELECT unit, currency, -amount FROM transfer WHERE project_id = %(project_id)s AND from_account = wanted.account
               ORDER BY transfer_id OFFSET 0)) t
            GROUP BY 1, 2, 3
            """,
            project_id=project_id,
            accounts=["revenue"],
        )
        await tx.execute("SET LOCAL enable_sort = off")  # of a project too young for statistics the planner would rather sort; it need not
        pages = await tx.fetch(
            "EXPLAIN SELECT * FROM transfer WHERE project_id = %(id)s AND to_account = 'a' AND transfer_id < 'x' ORDER BY transfer_id DESC LIMIT 9",
            id=project_id,
        )
    plan, page = "\n".join(row["QUERY PLAN"] for row in sums), "\n".join(row["QUERY PLAN"] for row in pages)
    assert "Seq Scan" not in plan and "Index" in plan, plan  # which index is the planner's to choose, by statistics of the moment
    assert "Index Scan Backward using transfer_to" in page and "Sort" not in page, page


names = st.sampled_from(["wallet/a/GLD", "wallet/b/GLD", "issued", "spent"])
batches = st.lists(
    st.lists(st.tuples(names, names, st.integers(1, 50)).filter(lambda ends: ends[0] != ends[1]), min_size=1, max_size=4), min_size=1, max_size=8
)


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(story=batches)
async def test_whatever_is_posted_balances_are_the_sums_and_everything_sums_to_nothing(database: Database, story: list[list[tuple[str, str, int]]]):
    project_id = await create_project(database)
    expected = dict.fromkeys(("wallet/a/GLD", "wallet/b/GLD", "issued", "spent"), 0)
    for place, batch in enumerate(story):
        after = dict(expected)
        for source, target, amount in batch:
            after[source] -= amount
            after[target] += amount
        transfers = [move(f"{place} {number}", *ends) for number, ends in enumerate(batch)]
        if after["wallet/a/GLD"] < 0 or after["wallet/b/GLD"] < 0:
            with pytest.raises(Insufficient):
                await post(database, project_id, *transfers)
        else:
            await post(database, project_id, *transfers)
            expected = after
    found = await balances(database, project_id, *expected)
    assert {account: found.get(account, {}).get(GOLD, 0) for account in expected} == expected
    assert sum(held[GOLD] for held in found.values()) == 0
