"""From what Google Play answers about a subscription's token to what it states. Pure: the answer, what we hold, and when the asking began.

Where Google leaves a choice, this is ours:

- **A new order is a new charge, nothing else is.** An expiry that moves without one is an extension. Orders that are pending were not paid. An
  order of nothing for a plan that ran already (a cancelled subscription bought again before its end) gives back auto-renewal and is no purchase.
- **A replacement that charges less than a whole period** (nothing, or the part until the old end) is a proration: revenue, and another product
  from then on, but no period. It gives what its charge covers of virtual currencies; where nothing is charged, the next renewal gives. Charged
  in full, or paid for within a trial, it is a period. Google's word for the mode counts, then the order's phase, then what was charged.
- **In grace `expiryTime` is the grace's end.** The paid period ends where it ended: as we heard it before, or by its order's service period.
- **What has ended may shorten a period, never lengthen it**: after a hold `expiryTime` is the end of the hold.
- **A token that another took the place of** says nothing of how the line goes on, whatever its state: its successor does. Heard of first, and
  while we hold nothing, its word counts less than that of its successor, which may stand on the same order.
- **Access taken back** is an expiry before the paid end; where Google says so itself (notification 12), however near to it. It ends the
  token as a whole: earlier periods of it are over too, though one was renewed before they ended. Money that came back, with it or apart from
  it, is a refund of its own: so nothing is given back twice, whichever of a line's tokens tells of it first.
- **A pause asked for** shows in no answer while the subscription is active. Notification 11 says so, and we keep it until the period is over.
- **Instalments with a cancellation pending** will not renew, though the months agreed on are still charged: each is a renewal when it comes.
- **A state we do not know** gives what was paid for, to the later of the ends we know and are told, and says nothing of how it goes on.
- **Prepaid plans** neither renew nor were cancelled: nothing is said of auto-renewal.
- **Add-ons**: the item that continues what the line holds (else the first) is the line; every other is one of its own, `token#product`.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from fractions import Fraction
from typing import Literal

from perennial.base.money import Money
from perennial.base.reading import country, note
from perennial.base.value import replace, value
from perennial.providers.google.orders import PAID, Charge, charge, given_back, is_renewal_order, refunds_without_order, voided_of
from perennial.providers.google.payload import CanceledStateContext, Order, Subscription, SubscriptionItem, moment, moment_or_none, money
from perennial.subscriptions.model import EndReason, Environment, Line, Offer, PeriodType, Purchase, Renewal, Statement

ACTIVE, CANCELED, EXPIRED = "SUBSCRIPTION_STATE_ACTIVE", "SUBSCRIPTION_STATE_CANCELED", "SUBSCRIPTION_STATE_EXPIRED"
IN_GRACE, ON_HOLD, PAUSED = "SUBSCRIPTION_STATE_IN_GRACE_PERIOD", "SUBSCRIPTION_STATE_ON_HOLD", "SUBSCRIPTION_STATE_PAUSED"
RUNNING = frozenset((ACTIVE, CANCELED))
PAUSE_SCHEDULE_CHANGED, REVOKED = "11", "12"  # hints: the types of notifications

_GRANTED = frozenset((ACTIVE, CANCELED, EXPIRED, IN_GRACE, ON_HOLD, PAUSED))
_NOT_PAID = frozenset(("SUBSCRIPTION_STATE_PENDING", "SUBSCRIPTION_STATE_PENDING_PURCHASE_CANCELED"))
_SAME_MOMENT = timedelta(minutes=1)  # Google's moments of one thing differ by up to seconds
_LONGEST_HINT = 64  # Google's own limit for obfuscated account ids


@value
class Link:
    """An earlier token of the chain, as Google answered for it; None where Google has forgotten it."""

    token: str
    subscription: Subscription | None


@value
class Answer:
    """What Google said of a subscription's token when it was asked at `as_of`, and what we held of its line then."""

    token: str
    subscription: Subscription
    as_of: datetime
    orders: Mapping[str, Order]
    line: Line | None = None
    hint: str = ""  # all that made us ask, a line each
    earlier: tuple[Link, ...] = ()  # newest first; walked where the token is new to us

    @property
    def hints(self) -> list[str]:
        return self.hint.split("\n")


def environment_of(subscription: Subscription) -> Environment:
    return "sandbox" if subscription.test_purchase is not None else "production"


def subscription_statements(answer: Answer) -> tuple[Statement, ...]:
    """What the answer states: of the token's line, and of a line for every add-on. Nothing while the first payment is awaited."""
    owned = owned_items(answer.subscription)
    if answer.subscription.subscription_state in _NOT_PAID or not owned:
        return ()
    if not is_known(answer.subscription):
        note("subscriptionState", answer.subscription.subscription_state)
    main = _main(owned, answer.line)
    addons = [item for item in owned if item is not main]
    return (_main_statement(answer, main, addons), *(_addon_statement(answer, item) for item in addons))


def is_known(subscription: Subscription) -> bool:
    """Whether it is in a state that we know."""
    return subscription.subscription_state in _GRANTED or subscription.subscription_state in _NOT_PAID


def owned_items(subscription: Subscription) -> list[SubscriptionItem]:
    """Without what is to come: an item that a deferred change will bring has neither an expiry nor an order."""
    return [item for item in subscription.line_items if item.product_id and item.latest_successful_order_id and item.expiry_time]


def _main(owned: Sequence[SubscriptionItem], line: Line | None) -> SubscriptionItem:
    held = line.held[-1].purchase.product.split(":")[0] if line is not None and line.held else None
    continuing = [item for item in owned if item.product_id == held]
    following = [item for item in owned if item.item_replacement is not None and item.item_replacement.product_id == held]
    return [*continuing, *following, *owned][0]


def _main_statement(answer: Answer, item: SubscriptionItem, addons: Sequence[SubscriptionItem]) -> Statement:
    others = {addon.product_id for addon in addons}
    charges = _one_part_each(answer, item, [one for one in _charges(answer) if one.product.split(":")[0] not in others])
    paid_order = _paid_order(answer, item, charges)
    charges = [one for one in charges if not _gave_back_renewal(answer, one, charges)]
    is_replaced = _is_replaced(answer)
    present = _present(answer, item, paid_order, charges, is_replaced=is_replaced)
    past = [_past(answer, one) for one in charges if one.order_id != paid_order]
    purchases = tuple(one for one in (*past, present) if one is not None)
    return Statement(
        store="play_store",
        environment=environment_of(answer.subscription),
        line=answer.token,
        purchases=purchases,
        renewals=() if is_replaced or not is_known(answer.subscription) else (_renewal(answer, item, present),),
        also=(*_also(answer), *(_first_orders(purchases) if answer.line is None else ())),
        customer_hint=_customer_hint(answer.subscription),
        original_purchased_at=_original(answer),
    )


def _original(answer: Answer) -> datetime | None:
    """When the first token of the chain that Google answers for was granted."""
    chain = [answer.subscription, *(link.subscription for link in answer.earlier if link.subscription is not None)]
    return min((at for one in chain if (at := moment_or_none(one.start_time, "startTime")) is not None), default=None)


def _first_orders(purchases: Sequence[Purchase]) -> list[str]:
    """What came by an import of the vendor's export is known by the first order of its token, not by the token."""
    return sorted({purchase.transaction.split("..")[0] for purchase in purchases if purchase.transaction.startswith("GPA.")})


def _addon_statement(answer: Answer, item: SubscriptionItem) -> Statement:
    """An add-on's own line is not at hand here: its orders say what there is to say."""
    alone = replace(answer, line=None)
    charges = [one for one in _charges(alone) if one.product.split(":")[0] == item.product_id]
    is_replaced = _is_replaced(answer)
    present = _present(alone, item, _order_of(item), charges, is_replaced=is_replaced)
    past = [_past(alone, one) for one in charges if one.order_id != present.transaction]
    before = item.item_replacement.product_id if item.item_replacement is not None else item.product_id
    linked = answer.subscription.linked_purchase_token
    return Statement(
        store="play_store",
        environment=environment_of(answer.subscription),
        line=f"{answer.token}#{item.product_id}",
        purchases=tuple(one for one in (*past, present) if one is not None),
        renewals=() if is_replaced or not is_known(answer.subscription) else (_renewal(alone, item, present),),
        also=(f"{linked}#{before}",) if linked else (),
        customer_hint=_customer_hint(answer.subscription),
    )


def _order_of(item: SubscriptionItem) -> str:
    assert item.latest_successful_order_id is not None, "owned items have an order"
    return item.latest_successful_order_id


def _also(answer: Answer) -> tuple[str, ...]:
    """The line's other keys: what this token took the place of, back to where Google remembers."""
    context = answer.subscription.out_of_app_purchase_context
    expired = context.expired_purchase_token if context is not None else None
    linked = answer.subscription.linked_purchase_token
    tokens = [linked, *(link.token for link in answer.earlier), expired]
    return tuple(token for token in dict.fromkeys(tokens) if token and token != answer.token)


def _customer_hint(subscription: Subscription) -> str | None:
    """Whom the app named at the purchase; for one made in Google's subscription centre, whom it named at the one that had lapsed."""
    context = subscription.out_of_app_purchase_context
    lapsed = context.expired_external_account_identifiers if context is not None else None
    for identifiers in (subscription.external_account_identifiers, lapsed):
        said = identifiers.obfuscated_external_account_id if identifiers is not None else None
        if said and len(said) <= _LONGEST_HINT:
            return said
    return None


def _charges(answer: Answer) -> list[Charge]:
    """Every part of every paid order that is of this subscription, oldest first."""
    voided = voided_of(answer.hint)
    found = [
        charge(order, part, voided)
        for order in answer.orders.values()
        if order.order_id and order.state in PAID
        for part in order.line_items
        if part.product_id and part.subscription_details is not None
    ]
    return sorted(found, key=lambda one: (one.starts_at or answer.as_of, one.order_id))


def _held(answer: Answer, order_id: str) -> Purchase | None:
    if answer.line is None:
        return None
    return next((one.purchase for one in answer.line.held if one.purchase.transaction == order_id), None)


def _one_part_each(answer: Answer, item: SubscriptionItem, charges: Sequence[Charge]) -> list[Charge]:
    """An order may have paid for add-ons that are gone by now: the part that is the line's own counts."""
    own: dict[str, Charge] = {}
    for one in charges:
        held = _held(answer, one.order_id)
        is_own = one.product == held.product if held is not None else one.product.split(":")[0] == item.product_id
        if one.order_id not in own or is_own:
            own[one.order_id] = one
    return list(own.values())


def _paid_order(answer: Answer, item: SubscriptionItem, charges: Sequence[Charge]) -> str:
    """The order whose period runs: the item's latest, or the newest before it that was more than an order of nothing."""
    by_id = {one.order_id: one for one in charges}
    order_id = _order_of(item)
    while order_id in by_id and _gave_back_renewal(answer, by_id[order_id], charges):
        before = _before(answer, by_id[order_id], charges)
        assert before is not None, "only a period that ran can go on"
        order_id = before[0]
    return order_id


def _gave_back_renewal(answer: Answer, one: Charge, charges: Sequence[Charge]) -> bool:
    """Whether an order only turned auto-renewal on again: a cancelled subscription bought anew before its end, for nothing."""
    if is_renewal_order(one.order_id) or _held(answer, one.order_id) is not None or one.price is None or one.price.amount:
        return False
    before = _before(answer, one, charges)
    is_plain = one.phase in (None, "normal") and answer.subscription.linked_purchase_token is not None
    return is_plain and before is not None and before[1] == one.product


def _before(answer: Answer, one: Charge, charges: Sequence[Charge]) -> tuple[str, str] | None:
    """Order and product of the period that ran when this one was ordered."""
    known = [(other.starts_at, other.order_id, other.product) for other in charges if other.starts_at is not None]
    if answer.line is not None:
        known += [(held.purchase.purchased_at, held.purchase.transaction, held.purchase.product) for held in answer.line.held]
    earlier = [other for other in known if one.starts_at is not None and other[0] < one.starts_at and other[1] != one.order_id]
    return max(earlier)[1:] if earlier else None


def _is_replaced(answer: Answer) -> bool:
    """Whether another token speaks for the line: by Google's word, or because we know of a newer one."""
    context = answer.subscription.canceled_state_context
    if context is not None and context.replacement_cancellation is not None:
        return True
    return answer.line is not None and answer.line.subject != answer.token


def _is_superseded(answer: Answer, held: Purchase | None) -> bool:
    """By Google's word; where we know of a newer token, by its: it may stand on the same order (a deferred change), or have come after a gap."""
    if held is not None and answer.line is not None and answer.line.subject != answer.token:
        return held.is_superseded
    context = answer.subscription.canceled_state_context
    return context is not None and context.replacement_cancellation is not None


def _present(answer: Answer, item: SubscriptionItem, order_id: str, charges: Sequence[Charge], *, is_replaced: bool) -> Purchase:
    """The period the token stands for now."""
    held, paid = _held(answer, order_id), next((one for one in charges if one.order_id == order_id), None)
    subscription, expiry = answer.subscription, moment(item.expiry_time, "expiryTime")
    known_end = held.expires_at if held is not None else paid.ends_at if paid is not None else None
    refunds = paid.refunds if paid is not None else refunds_without_order(held, voided_of(answer.hint).get(order_id))
    if held is not None and held.revocation is not None and (is_replaced or subscription.subscription_state == EXPIRED):
        taken_at: datetime | None = held.revocation.at  # what was taken back stays so, whichever token's end we hear of
    else:
        taken_at = None if is_replaced else _taken_at(answer, expiry, known_end, paid)
    ends_at = known_end or expiry if taken_at is not None else _paid_until(answer, expiry, known_end, is_replaced=is_replaced)
    bought = _purchase(answer, order_id, _product(item), paid, held, ends_at=ends_at, item=item)
    bought = replace(
        bought,
        is_superseded=_is_superseded(answer, held),
        is_summary=is_replaced and answer.line is None,  # its order may go on under the token that took its place, which tells more of it
        country=bought.country or country(subscription.region_code),
    )
    return given_back(bought, held, refunds, taken_at)


def _past(answer: Answer, paid: Charge) -> Purchase | None:
    """An order other than the present one, looked at for the first time or again. One whose end nobody knows cannot be placed."""
    held = _held(answer, paid.order_id)
    ends_at = held.expires_at if held is not None else paid.ends_at
    if ends_at is None:
        return None
    was_superseded = held.is_superseded if held is not None else _ends_its_token(answer, paid)
    bought = replace(_purchase(answer, paid.order_id, paid.product, paid, held, ends_at=ends_at, item=None), is_superseded=was_superseded)
    return given_back(bought, held, paid.refunds, held.revocation.at if held is not None and held.revocation is not None else None)


def _ends_its_token(answer: Answer, paid: Charge) -> bool:
    """The last order of an earlier token, where the token after it took its place before its end: a deferred change waits for that."""
    earlier = [link.subscription for link in answer.earlier if link.subscription is not None]
    is_last = any(item.latest_successful_order_id == paid.order_id for subscription in earlier for item in subscription.line_items)
    if paid.starts_at is None or paid.ends_at is None:
        return is_last
    return is_last and any(paid.starts_at < one.starts_at < paid.ends_at for one in _charges(answer) if one.starts_at is not None)


def _paid_until(answer: Answer, expiry: datetime, known_end: datetime | None, *, is_replaced: bool) -> datetime:
    state = answer.subscription.subscription_state
    if is_replaced:
        return known_end or expiry
    if state in RUNNING:
        return expiry
    if state == IN_GRACE:
        return known_end or min(expiry, answer.as_of)  # the charge for what follows has failed, so the period is over
    if not is_known(answer.subscription):
        return max(known_end or expiry, expiry)
    return min(known_end, expiry) if known_end is not None else expiry


def _taken_at(answer: Answer, expiry: datetime, known_end: datetime | None, paid: Charge | None) -> datetime | None:
    """When access was taken back before what was paid for was over; None where it was not."""
    if answer.subscription.subscription_state != EXPIRED:
        return None
    if known_end is None:
        return expiry if REVOKED in answer.hints else None
    is_said = REVOKED in answer.hints or (paid is not None and bool(paid.refunds))
    paid_end = paid.ends_at if paid is not None and paid.ends_at is not None else known_end
    end = known_end if is_said else min(known_end, paid_end)  # what ran on beyond the paid end (a day's leniency) may also just end
    nearness = timedelta(0) if REVOKED in answer.hints else _SAME_MOMENT  # Google's own word needs no distance from the natural end
    return expiry if expiry < end - nearness else None


def _purchase(
    answer: Answer, order_id: str, product: str, paid: Charge | None, held: Purchase | None, *, ends_at: datetime, item: SubscriptionItem | None
) -> Purchase:
    """From the order, else from what we held, else from the answer alone."""
    is_renewal = held.is_renewal if held is not None else is_renewal_order(order_id) or _was_scheduled(answer, product, paid)
    is_proration = held.is_proration if held is not None else not is_renewal and _is_proration(answer, order_id, paid, item, ends_at)
    is_part = is_proration or (paid is not None and paid.is_part)
    charged_ppm = held.charged_ppm if held is not None else None
    return Purchase(
        transaction=order_id,
        product=held.product if held is not None and item is None else product,
        kind="subscription",
        purchased_at=_began_at(answer, order_id, paid, held, ends_at),
        expires_at=ends_at,
        as_of=answer.as_of,
        is_first=held.is_first if held is not None else not (is_renewal or is_proration or _came_back(answer.subscription)),
        is_renewal=is_renewal,
        is_proration=is_proration,
        charged_ppm=_charged_ppm(paid, item) if charged_ppm is None and is_part else charged_ppm,
        period_type=_period_type(item, paid, held),
        price=paid.price if paid is not None else held.price if held is not None else None,
        tax=paid.tax if paid is not None else held.tax if held is not None else None,
        commission=(paid.commission if paid is not None else None) or (held.commission if held is not None else None),
        offer=_offer(item, paid, order_id, held),
        country=country(paid.country if paid is not None else None) or (held.country if held is not None else None),
    )


_PRORATED = frozenset(("WITH_TIME_PRORATION", "CHARGE_PRORATED_PRICE", "WITHOUT_PRORATION"))
_WHOLE = frozenset(("CHARGE_FULL_PRICE", "DEFERRED"))


def _is_proration(answer: Answer, order_id: str, paid: Charge | None, item: SubscriptionItem | None, ends_at: datetime) -> bool:
    """Whether the first order of a token only changed what runs: it took the place of a period, and charged less than a whole one."""
    running = _replaced_period(answer, order_id, paid)
    if running is None or (item is not None and item.prepaid_plan is not None):
        return False
    amount = paid.price.amount if paid is not None and paid.price is not None else None
    if paid is not None and paid.ends_trial:
        return False
    mode = item.item_replacement.replacement_mode if item is not None and item.item_replacement is not None else None
    if mode in _PRORATED or mode in _WHOLE:
        return mode in _PRORATED
    if paid is not None and paid.is_part:
        return True
    phase = _period_type(item, paid, None)
    if phase != "normal":
        return False
    if amount is None:
        return running.expires_at is not None and abs(running.expires_at - ends_at) <= _SAME_MOMENT  # its end was kept
    full = _full_price(paid, item)
    return amount == 0 or (full is not None and amount < full.amount)


def _replaced_period(answer: Answer, order_id: str, paid: Charge | None) -> "_Period | None":
    """What ran when a token began that took the place of another."""
    if is_renewal_order(order_id) or answer.subscription.linked_purchase_token is None:
        return None
    begins = paid.starts_at if paid is not None and paid.starts_at is not None else moment_or_none(answer.subscription.start_time, "startTime")
    if begins is None:
        return None
    known = [
        _Period(begins_at=one.starts_at, expires_at=one.ends_at) for one in _charges(answer) if one.order_id != order_id and one.starts_at is not None
    ]
    if answer.line is not None:
        held = [one.purchase for one in answer.line.held if one.purchase.transaction != order_id]
        known += [_Period(begins_at=one.purchased_at, expires_at=one.expires_at) for one in held]
    running = [one for one in known if one.begins_at < begins and (one.expires_at is None or begins < one.expires_at)]
    return max(running, key=lambda one: one.begins_at, default=None)


@value
class _Period:
    begins_at: datetime
    expires_at: datetime | None


def _charged_ppm(paid: Charge | None, item: SubscriptionItem | None) -> int | None:
    """Of a whole period's price, in millionths; None where Google does not say one of them."""
    full = _full_price(paid, item)
    if paid is None or paid.price is None:
        return None
    if paid.price.amount <= 0:
        return 0
    if full is None or full.currency != paid.price.currency:
        return None
    return min(1_000_000, round(Fraction(paid.price.amount * 1_000_000, full.amount)))


def _full_price(paid: Charge | None, item: SubscriptionItem | None) -> Money | None:
    plan = item.auto_renewing_plan if item is not None else None
    full = (money(plan.recurring_price, "recurringPrice") if plan is not None else None) or (paid.listed if paid is not None else None)
    return full if full is not None and full.amount > 0 else None


def _came_back(subscription: Subscription) -> bool:
    """Bought again after its end, in Google's subscription centre: the line goes on, so it is not the line's first charge."""
    context = subscription.out_of_app_purchase_context
    return context is not None and context.expired_purchase_token is not None


def _was_scheduled(answer: Answer, product: str, paid: Charge | None) -> bool:
    """A deferred change comes with the first order of another token, and yet without an act of the customer: as the old one's period ends."""
    if answer.line is not None and answer.line.renewals and answer.line.renewals[-1].next_product == product:
        return True
    if answer.subscription.linked_purchase_token is None or paid is None or paid.starts_at is None:
        return False
    ends = [one.ends_at for one in _charges(answer) if one.ends_at is not None and one.product != product]
    return any(abs(end - paid.starts_at) < _SAME_MOMENT for end in ends)


def _began_at(answer: Answer, order_id: str, paid: Charge | None, held: Purchase | None, ends_at: datetime) -> datetime:
    """Without its order, a renewal follows the period before it where access went on, and begins with our asking where it did not."""
    if paid is not None and paid.starts_at is not None:
        return paid.starts_at
    if held is not None:
        return held.purchased_at
    before = answer.line.held[-1].purchase if answer.line is not None and answer.line.held else None
    if is_renewal_order(order_id) and before is not None and before.expires_at is not None:
        was_off = answer.line is not None and bool(answer.line.renewals) and answer.line.renewals[-1].ended is not None
        return answer.as_of if was_off else min(before.expires_at, ends_at)
    return min(moment_or_none(answer.subscription.start_time, "startTime") or answer.as_of, ends_at)


def _period_type(item: SubscriptionItem | None, paid: Charge | None, held: Purchase | None) -> PeriodType:
    """By the order; else, for the present period, by the item's phase; else a free period of an offer is its trial."""
    if item is not None and item.prepaid_plan is not None:
        return "prepaid"
    if paid is not None and paid.phase is not None:
        return "prepaid" if held is not None and held.period_type == "prepaid" else paid.phase
    phase = item.offer_phase if item is not None else None
    if phase is not None and phase.free_trial is not None:
        return "trial"
    if phase is not None and phase.introductory_price is not None:
        return "intro"
    if held is not None:
        return held.period_type
    is_free_offer = paid is not None and paid.offer is not None and paid.price is not None and not paid.price.amount
    return "trial" if is_free_offer else "normal"


def _offer(item: SubscriptionItem | None, paid: Charge | None, order_id: str, held: Purchase | None) -> Offer | None:
    """A code redeemed counts for the first charge; an offer of the plan for as long as its phases last."""
    if held is not None and held.offer is not None:
        return held.offer
    details = item.offer_details if item is not None else None
    offer_id = (paid.offer if paid is not None else None) or (details.offer_id if details is not None else None)
    promotion = item.signup_promotion if item is not None else None
    if promotion is not None and not is_renewal_order(order_id):
        return Offer(kind="offer_code", identifier=(promotion.vanity_code.promotion_code if promotion.vanity_code is not None else None) or offer_id)
    is_reduced = _period_type(item, paid, held) in ("trial", "intro")
    return Offer(kind="introductory", identifier=offer_id) if offer_id and is_reduced else None


def _product(item: SubscriptionItem) -> str:
    """`subscription:base_plan`, as catalogs and SDKs spell it; subscriptions from before base plans have none."""
    plan = item.offer_details.base_plan_id if item.offer_details is not None else None
    return f"{item.product_id}:{plan}" if plan else item.product_id or ""


# How it goes on ---------------------------------------------------------------------------------------------------------------


def _renewal(answer: Answer, item: SubscriptionItem, present: Purchase) -> Renewal:
    subscription, plan = answer.subscription, item.auto_renewing_plan
    state, expiry = subscription.subscription_state, moment(item.expiry_time, "expiryTime")
    is_taken_back = state == EXPIRED and (present.revocation is not None or REVOKED in answer.hints)
    ended = "customer_support" if is_taken_back else _ended(answer, item)
    auto_renew = _auto_renew(item, state)
    pause = _pause(answer, present)
    resumes = subscription.paused_state_context.auto_resume_time if subscription.paused_state_context is not None else None
    return Renewal(
        as_of=answer.as_of,
        transaction=present.transaction,
        auto_renew=auto_renew,
        next_product=_next_product(subscription, item),
        off_reason=_off_reason(subscription, item, is_taken_back=is_taken_back) if auto_renew is False and plan is not None else None,
        in_billing_retry=state in (IN_GRACE, ON_HOLD),
        grace_until=expiry if state == IN_GRACE else None,
        ended=ended,
        ended_at=(present.revocation.at if present.revocation is not None else expiry) if is_taken_back else None,
        price_consent=_price_consent(item),
        pause=pause,
        resumes_at=moment_or_none(resumes, "autoResumeTime") if pause is not None else None,
    )


def _auto_renew(item: SubscriptionItem, state: str | None) -> bool | None:
    plan = item.auto_renewing_plan
    if plan is None:
        return None  # prepaid
    if state in (CANCELED, EXPIRED) or item.deferred_item_removal is not None:
        return False
    if plan.installment_details is not None and plan.installment_details.pending_cancellation is not None:
        return False
    return plan.auto_renew_enabled


def _ended(answer: Answer, item: SubscriptionItem) -> EndReason | None:
    match answer.subscription.subscription_state:
        case "SUBSCRIPTION_STATE_EXPIRED":
            is_prepaid = item.prepaid_plan is not None
            return "unsubscribe" if is_prepaid else _reason(answer.subscription.canceled_state_context, item, unsaid="unknown")
        case "SUBSCRIPTION_STATE_ON_HOLD":
            return "billing_error"
        case "SUBSCRIPTION_STATE_PAUSED":
            return "subscription_paused"
    return None


def _off_reason(subscription: Subscription, item: SubscriptionItem, *, is_taken_back: bool) -> EndReason:
    return "customer_support" if is_taken_back else _reason(subscription.canceled_state_context, item)


def _reason(context: CanceledStateContext | None, item: SubscriptionItem, *, unsaid: EndReason = "unsubscribe") -> EndReason:
    """Why it does not go on. A higher price nobody agreed to ends in the system's name."""
    if context is None:
        return unsaid
    if context.user_initiated_cancellation is not None:
        return "unsubscribe"
    if context.developer_initiated_cancellation is not None:
        return "developer"
    if context.system_initiated_cancellation is not None:
        return "price_increase" if _refused_price(item) else "billing_error"
    return unsaid


def _refused_price(item: SubscriptionItem) -> bool:
    plan = item.auto_renewing_plan
    change, step_up = (plan.price_change_details, plan.price_step_up_consent_details) if plan is not None else (None, None)
    is_unanswered = change is not None and change.price_change_mode == "PRICE_INCREASE" and change.price_change_state in ("OUTSTANDING", "CANCELED")
    return is_unanswered or (step_up is not None and step_up.state == "PENDING")


def _price_consent(item: SubscriptionItem) -> Literal["pending", "accepted"] | None:
    """An increase a notice is enough for counts as accepted, a decrease asks nothing."""
    plan = item.auto_renewing_plan
    if plan is None:
        return None
    if (step_up := plan.price_step_up_consent_details) is not None and step_up.state in ("PENDING", "CONFIRMED", "COMPLETED"):
        return "pending" if step_up.state == "PENDING" else "accepted"
    change = plan.price_change_details
    if change is None or change.price_change_mode not in ("PRICE_INCREASE", "OPT_OUT_PRICE_INCREASE") or change.price_change_state == "CANCELED":
        return None
    return "pending" if change.price_change_mode == "PRICE_INCREASE" and change.price_change_state == "OUTSTANDING" else "accepted"


def _pause(answer: Answer, present: Purchase) -> Literal["scheduled", "in_force"] | None:
    state = answer.subscription.subscription_state
    if state == PAUSED:
        return "in_force"
    if state != ACTIVE:
        return None
    last = answer.line.renewals[-1] if answer.line is not None and answer.line.renewals else None
    is_still = last is not None and last.pause == "scheduled" and last.transaction == present.transaction
    return "scheduled" if PAUSE_SCHEDULE_CHANGED in answer.hints or is_still else None


def _next_product(subscription: Subscription, item: SubscriptionItem) -> str | None:
    following = item.deferred_item_replacement.product_id if item.deferred_item_replacement is not None else None
    if following is None:
        return None
    named = [one for one in subscription.line_items if one.product_id == following and one is not item and not one.expiry_time]
    return _product(named[0]) if named else following
