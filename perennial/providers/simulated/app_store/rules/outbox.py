"""What the store sends: written, signed at a moment of its own, kept for its history, and posted as `Delivery` says."""

from datetime import datetime, timedelta
from typing import TypeVar

from perennial.base.ids import AppId, told_id
from perennial.base.time import from_ms, to_ms
from perennial.base.value import replace
from perennial.providers.simulated.app_store.model import Charge, Desk, Draft, Outbox, Posting, Sent, Subscription
from perennial.providers.simulated.app_store.payloads import current, renewal_payload, status, transaction_payload

KEPT = timedelta(days=180)  # notification history
MOST_KEPT = 1000
_MILLISECOND = timedelta(milliseconds=1)
_OVERTAKEN_AFTER = timedelta(minutes=1)
_LONGEST_WAIT = timedelta(hours=12)
Sender = TypeVar("Sender", Subscription, Desk)


def announce(
    line: Subscription, type: str, subtype: str | None, now: datetime, *, about: Charge | None = None, consumption_request_reason: str | None = None
) -> Subscription:
    """Writes the notification from what the line is now."""
    is_subscription = line.type == "Auto-Renewable Subscription"
    signed_at = next_signing(line.outbox, now)
    draft = Draft(
        uuid=_uuid(line.app_id, line.store_line, line.outbox),
        type=type,
        subtype=subtype,
        signed_at=signed_at,
        transaction=transaction_payload(line, about or current(line), signed_at),
        renewal=renewal_payload(line, signed_at) if is_subscription else None,
        status=status(line) if is_subscription else None,
        consumption_request_reason=consumption_request_reason,
    )
    return replace(line, outbox=put(line.outbox, draft, now))


def draft_test(desk: Desk, now: datetime) -> Draft:
    """TEST: tells nothing, shows that the way is open."""
    return Draft(uuid=_uuid(desk.app_id, "desk", desk.outbox), type="TEST", subtype=None, signed_at=next_signing(desk.outbox, now))


def _uuid(app_id: AppId, line: str, outbox: Outbox) -> str:
    return told_id("simulated", app_id, line, str(outbox.drafts))


def whole(moment: datetime) -> datetime:
    """The App Store counts in milliseconds."""
    return from_ms(to_ms(moment))


def next_signing(outbox: Outbox, now: datetime) -> datetime:
    """Strictly after the last: two words on one line are never of the same moment."""
    return whole(now) if outbox.last_signed_at is None else max(whole(now), outbox.last_signed_at + _MILLISECOND)


def sign_moment(line: Subscription, now: datetime) -> tuple[Subscription, datetime]:
    """A moment for an answer of the store's API, which signs anew what it tells."""
    moment = next_signing(line.outbox, now)
    return replace(line, outbox=replace(line.outbox, last_signed_at=moment)), moment


def put(outbox: Outbox, draft: Draft, now: datetime) -> Outbox:
    """Keeps the notification for the store's history, and plans its way by `delivery`."""
    kept = [sent for sent in outbox.sent if not sent.is_delivered or sent.draft.signed_at > now - KEPT]
    postings, delivery = outbox.postings, outbox.delivery
    if delivery.lost:
        new = []
    elif delivery.reversed and not any(posting.at > now for posting in postings):
        new = [Posting(uuid=draft.uuid, at=now + _LONGEST_WAIT)]
    else:
        new = [Posting(uuid=draft.uuid, at=now)]
    if delivery.reversed and new and new[0].at == now:
        postings = tuple(replace(posting, at=min(posting.at, now + _OVERTAKEN_AFTER)) for posting in postings)
    if delivery.twice:
        new = [part for posting in new for part in (posting, posting, replace(posting, at=posting.at + _OVERTAKEN_AFTER))]
    return replace(
        outbox,
        sent=(*kept, Sent(draft=draft))[-MOST_KEPT:],
        postings=(*postings, *new),
        drafts=outbox.drafts + 1,
        last_signed_at=draft.signed_at,
    )


def next_posting(sender: Subscription | Desk) -> datetime | None:
    return min((posting.at for posting in sender.outbox.postings), default=None)


def take_due(sender: Sender, now: datetime) -> tuple[Sender, list[Draft]]:
    """The notifications to post now (one may be there twice), and the sender that no longer has to."""
    drafts = {sent.draft.uuid: sent.draft for sent in sender.outbox.sent}
    due = [posting for posting in sender.outbox.postings if posting.at <= now]
    later = tuple(posting for posting in sender.outbox.postings if posting.at > now)
    posted = [drafts[posting.uuid] for posting in due if posting.uuid in drafts]
    return replace(sender, outbox=replace(sender.outbox, postings=later)), posted


def mark_posted(outbox: Outbox, uuid: str, *, is_delivered: bool) -> Outbox:
    """What became of one attempt."""
    return replace(
        outbox,
        sent=tuple(
            replace(sent, attempts=sent.attempts + 1, is_delivered=sent.is_delivered or is_delivered) if sent.draft.uuid == uuid else sent
            for sent in outbox.sent
        ),
    )


def resend_lost(outbox: Outbox, now: datetime) -> tuple[Outbox, int]:
    """Posts what never arrived and is not on its way, whatever `delivery` says of new ones."""
    on_the_way = {posting.uuid for posting in outbox.postings}
    lost = [sent.draft.uuid for sent in outbox.sent if not sent.is_delivered and sent.draft.uuid not in on_the_way]
    return replace(outbox, postings=(*outbox.postings, *(Posting(uuid=uuid, at=now) for uuid in lost))), len(lost)
