"""What is kept of what a store said, whichever store: every text, moment and amount within the bounds of `base.reading`. Pure.

Providers read with those bounds already. What they make of it (an end counted on, an id put together) is held to them here, so that nothing past
this line can overflow, and one message cannot stop a batch.
"""

from hashlib import sha256

from perennial.base import reading
from perennial.base.errors import Invalid
from perennial.base.money import Money
from perennial.base.reading import MOST_MAJOR, bounded, is_text, note
from perennial.base.value import replace
from perennial.intake.model import Envelope, Message, Question, Reading
from perennial.subscriptions.model import Noted, Purchase, Refund, Renewal, Revocation, Statement

LONGEST_ID = 2500  # bytes of UTF-8: the longest that an index of ours takes, with what stands beside it
LONGEST_MESSAGE_ID = 512
LONGEST_KIND = 255
_LONGEST_WORD = 1000  # characters of what is neither an id nor shown as one


def kept(message: Message) -> Message:
    """A message as the inbox takes it. One whose id cannot be kept goes by its content, so that its duplicates carry the same."""
    envelope = message.envelope
    is_known = 0 < len(envelope.message_id) <= LONGEST_MESSAGE_ID and is_text(envelope.message_id)
    identifier = envelope.message_id if is_known else f"sha256:{sha256(message.body).hexdigest()}"
    kind = envelope.kind[:LONGEST_KIND] if is_text(envelope.kind) else "unreadable"
    same = (identifier, kind, bounded(envelope.sent_at)) == (envelope.message_id, envelope.kind, envelope.sent_at)
    return message if same else replace(message, envelope=_envelope(envelope, identifier, kind))


def _envelope(envelope: Envelope, identifier: str, kind: str) -> Envelope:
    return replace(envelope, message_id=identifier, kind=kind, sent_at=bounded(envelope.sent_at))


def within_bounds(said: Reading) -> Reading:
    """What can be recorded of a reading. Raises `Invalid` where it states something, and nothing of that can be."""
    statements = tuple(one for one in map(_statement, said.statements) if one is not None)
    if said.statements and not statements:
        raise Invalid("what it says is of a purchase whose ids cannot be kept", param="line")
    return replace(said, statements=statements, questions=tuple(one for one in said.questions if _can_be_put(one)))


def _can_be_put(question: Question) -> bool:
    return _is_id(question.subject, "question.subject") and is_text(question.hint)


def _is_id(text: str, field: str) -> bool:
    is_fit = bool(text) and is_text(text) and len(text) <= LONGEST_ID and (text.isascii() or len(text.encode()) <= LONGEST_ID)
    if not is_fit:
        note(field, text)
    return is_fit


def _statement(said: Statement) -> Statement | None:
    purchases = tuple(_purchase(one) for one in said.purchases if _is_id(one.transaction, "transaction") and _is_id(one.product, "product"))
    if not _is_id(said.line, "line") or (said.purchases and not purchases):
        return None
    return replace(
        said,
        purchases=purchases,
        running=tuple(_purchase(one) for one in said.running if _is_id(one.transaction, "transaction") and _is_id(one.product, "product")),
        renewals=tuple(_renewal(one) for one in said.renewals if not one.transaction or _is_id(one.transaction, "transaction")),
        also=tuple(one for one in said.also if _is_id(one, "also")),
        customer_hint=_word(said.customer_hint, "customer_hint"),
        app_user_id=_word(said.app_user_id, "app_user_id"),
        original_purchased_at=bounded(said.original_purchased_at) if said.original_purchased_at is not None else None,
        noted=replace(said.noted, as_of=bounded(said.noted.as_of)) if isinstance(said.noted, Noted) else None,
    )


def _word(text: str | None, field: str) -> str | None:
    if text is None or (len(text) <= _LONGEST_WORD and is_text(text)):
        return text
    note(field, text)
    return None


def _purchase(said: Purchase) -> Purchase:
    price = _money(said.price, "price")
    began = bounded(said.purchased_at)
    return replace(
        said,
        purchased_at=began,
        expires_at=bounded(said.expires_at) if said.expires_at is not None else None,
        as_of=bounded(said.as_of),
        price=price,
        tax=_money(said.tax, "tax") if price is not None else None,
        commission=_money(said.commission, "commission") if price is not None else None,
        quantity=reading.quantity(said.quantity),
        offer=replace(said.offer, identifier=_word(said.offer.identifier, "offer")) if said.offer is not None else None,
        country=reading.country(said.country),
        revocation=_revocation(said.revocation) if said.revocation is not None else None,
        refunds=tuple(refund for one in said.refunds if (refund := _refund(one)) is not None),
    )


def _money(said: Money | None, field: str) -> Money | None:
    if said is None or said.amount.bit_length() <= 36 or said.major.copy_abs() <= MOST_MAJOR:  # few amounts are so large that they must be looked at
        return said
    note(field, f"{said.amount} {said.currency}")
    return None


def _revocation(said: Revocation) -> Revocation:
    return replace(said, at=bounded(said.at), share_ppm=min(max(said.share_ppm, 0), 1_000_000))


def _refund(said: Refund) -> Refund | None:
    if _money(said.amount, "refund") is None or not _is_id(said.identifier, "refund.id"):
        return None
    return replace(said, at=bounded(said.at))


def _renewal(said: Renewal) -> Renewal:
    next_product = said.next_product
    return replace(
        said,
        as_of=bounded(said.as_of),
        next_product=next_product if next_product is None or _is_id(next_product, "next_product") else None,
        grace_until=bounded(said.grace_until) if said.grace_until is not None else None,
        ended_at=bounded(said.ended_at) if said.ended_at is not None else None,
        resumes_at=bounded(said.resumes_at) if said.resumes_at is not None else None,
    )
