"""What waits for a person is shown by `doctor` and counted in a metric; pushes in the wrong wrapping are an alarm that says what to change."""

import asyncio
import json
import re
from datetime import timedelta
from pathlib import Path

import asyncpg
import pytest
from structlog.testing import capture_logs

from perennial import catalog, troubles
from perennial.api.observe import OBSERVED, exposition
from perennial.intake.wrappings import ADVICE, WRAPPINGS, wrapping_of
from perennial.observability import reason
from tests.flows.test_cli_operator import perennial
from tests.ports import free_port
from tests.world import World

OF_GOOGLE = {"version": "1.0", "packageName": "com.example", "eventTimeMillis": "1", "subscriptionNotification": {"notificationType": 4}}
THIN = {"id": "evt_1", "object": "v2.core.event", "type": "v1.billing.meter.error_report_triggered", "related_object": {"id": "m"}}
V1 = {"notification_type": "DID_RENEW", "password": "x", "unified_receipt": {}}
CASES = {
    "google_unwrapped": ("play_store", json.dumps(OF_GOOGLE).encode(), {}),
    "sns_raw": ("amazon", b'{"appPackageName": "com.example", "notificationType": "SUBSCRIPTION_RENEWED", "receiptId": "r"}', {}),
    "app_store_v1": ("app_store", json.dumps(V1).encode(), {}),
    "stripe_thin": ("stripe", json.dumps(THIN).encode(), {}),
    "paddle_classic": ("paddle", b"alert_id=1&alert_name=subscription_payment_succeeded&p_signature=abc", {}),
}


@pytest.fixture(autouse=True)
def surroundings(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PERENNIAL_HOME", str(tmp_path))
    monkeypatch.setenv("PORT", str(free_port()))


@pytest.mark.parametrize("wrapping", WRAPPINGS)
async def test_a_push_in_the_wrong_wrapping_is_an_alarm(world: World, wrapping: str) -> None:
    store, body, headers = CASES[wrapping]
    async with world.app.database.transaction(world.project_id) as tx:
        made, _ = await catalog.create_app(tx, world.app.vault, name=store, store=store, bundle_id="com.example")
    app_id = made.app_id
    answers = [await world.http.post(f"/hooks/{store}/{app_id}", content=body, headers=headers) for _ in range(3)]
    assert {answer.status_code for answer in answers} == {400} and ADVICE[wrapping] in answers[0].json()["message"]  # type: ignore[index]
    (found,) = [one for one in await troubles.find(world.app.database) if one.project_id == world.project_id]
    assert (found.kind, found.sample, found.reason) == ("pushes_misdelivered", app_id, wrapping)
    said = await perennial("doctor")
    assert ADVICE[wrapping] in said and app_id in said  # type: ignore[index]


@pytest.mark.parametrize(
    ("store", "body", "headers"),
    [
        ("play_store", json.dumps({"message": {"data": "", "messageId": "1"}, "subscription": "s"}).encode(), {}),
        ("play_store", b"[" * 10, {}),
        ("play_store", b"\xff\x00", {}),
        ("amazon", b'{"Type": "Notification", "Message": "{}"}', {}),
        ("app_store", b'{"signedPayload": "a.b.c", "notification_type": "x"}', {}),
        ("stripe", b'{"object": "event", "id": "evt_1", "type": "x", "data": {"object": {}}}', {}),
        ("paddle", b'{"event_id": "evt_1", "alert_name=": "x"}', {}),
        ("roku", json.dumps(V1).encode(), {}),
        ("play_store", b" " * 300_000 + json.dumps(OF_GOOGLE).encode(), {}),
    ],
)
def test_what_looks_as_it_must_or_like_nothing_is_left_to_its_reader(store: str, body: bytes, headers: dict[str, str]) -> None:
    assert wrapping_of(store, body, headers) is None


def test_sns_says_raw_in_a_header() -> None:
    assert wrapping_of("amazon", b"anything", {"x-amz-sns-rawdelivery": "true"}) == "sns_raw"


async def test_the_doctor_and_a_metric_show_what_was_given_up(world: World, database_url: str) -> None:
    owner = await asyncpg.connect(database_url)
    app_id, project_id = world.app_ids["app_store"], world.project_id
    before = troubles.counted(await troubles.find(world.app.database))
    await owner.execute(
        "INSERT INTO notification (project_id, app_id, message_id, kind, sent_at, body, received_at, attempts, last_error) "
        "VALUES ($1, $2, 'parked-1', 'TEST', now(), '', now(), 6, 'KeyError: x')",
        project_id,
        app_id,
    )
    await owner.execute(
        "INSERT INTO notification (project_id, app_id, message_id, kind, sent_at, body, received_at, digested_at, outcome) "
        "VALUES ($1, $2, 'odd-1', 'TEST', now(), '', now(), now(), 'unreadable: no bundle id'), "
        "($1, $2, 'old-1', 'TEST', now(), '', now(), now() - interval '9 days', 'unreadable: long ago')",
        project_id,
        app_id,
    )
    await owner.execute(
        "INSERT INTO inquiry (project_id, app_id, environment, subject, reason, attempts, last_error) "
        "VALUES ($1, $2, 'production', 'sub_9', 'a test', 6, 'the store answered 401')",
        project_id,
        app_id,
    )
    await owner.execute(
        "INSERT INTO store_act (project_id, app_id, act_id, kind, environment, subject, details, wanted_at, attempts, last_error) "
        "VALUES ($1, $2, 'act_1', 'refund', 'production', 'sub_8', '{}', now(), 6, 'no')",
        project_id,
        app_id,
    )
    await owner.close()
    after = troubles.counted(await troubles.find(world.app.database))
    grown = {kind: after[kind] - before[kind] for kind in troubles.KINDS if after[kind] != before[kind]}
    assert grown == {"notifications_parked": 1, "notifications_unreadable": 1, "questions_parked": 1, "acts_parked": 1}
    said = await perennial("doctor")
    for words in ("parked-1: KeyError: x", "odd-1: unreadable: no bundle id", "sub_9: the store answered 401", "refund sub_8: no"):
        assert words in said, said
    from perennial import worker

    stop = asyncio.Event()
    watching = asyncio.create_task(worker._watch(world.app, stop))
    while b'perennial_waiting_for_a_person{kind="acts_parked"}' not in exposition():
        await asyncio.sleep(0.01)
    stop.set()
    await watching
    kinds = re.findall(rb'perennial_waiting_for_a_person\{kind="(\w+)"\}', exposition())
    assert sorted(kinds) == sorted(kind.encode() for kind in troubles.KINDS), "a closed set, those of which there are none too"
    assert OBSERVED is not None and timedelta(days=7) == troubles.LOOKED_BACK


async def test_a_bad_row_is_one_line_and_its_batch_none(world: World, database_url: str) -> None:
    """The rows of a batch are taken one by one after one of them failed: only that one is told, with its id and a short reason."""
    owner = await asyncpg.connect(database_url)
    for number in range(3):
        await owner.execute(
            "INSERT INTO notification (project_id, app_id, message_id, kind, sent_at, body, received_at, wake_at) "
            "VALUES ($1, $2, $3, 'TEST', now(), '', now(), timestamptz '2020-01-01')",
            world.project_id,
            world.app_ids["rc_billing"],  # a store nobody reads: an exception nobody foresaw
            f"row-{number}",
        )
    await owner.close()
    with capture_logs() as lines:
        await world.run_due()
    told = [line for line in lines if line["log_level"] == "error"]
    assert sorted(line["message_id"] for line in told) == ["row-0", "row-1", "row-2"]
    assert not any("batch" in line["event"] for line in lines if line["log_level"] != "debug")


def test_a_reason_is_one_short_line() -> None:
    assert reason(KeyError("a\nb")) == r"KeyError: 'a\nb'"
    assert reason(ValueError("one\n  two")) == "ValueError: one two" and len(reason(ValueError("x" * 9999))) == 300
