"""Stripe Billing: subscriptions and checkouts of a project's own Stripe account.

`signature` and `events` take webhooks, `lookup` asks, `acts` does, `read` (with `slots`, `accounts`, `renewing`, `one_time`) says what was found
states; `payload` is Stripe's wire format, `money` its minor units. The official library is not used here; tests let it judge.

An app of the store `stripe` takes:

- secrets `api_key`: a secret key, or a restricted one that may read subscriptions, schedules, invoices, charges, refunds, disputes, checkout
  sessions, prices, customers and events (and write subscriptions and refunds, for acts). Without it, only what webhooks tell is known.
- secrets `webhook_secret`: the signing secret (`whsec_...`) of the endpoint that posts to `/hooks/stripe/{app_id}`; `webhook_secret_previous` while
  it is rolled.
- settings `past_due`: `grace` (default), `end` or `keep`; `read` says what they mean.
- settings `connected_account`: `acct_...`, where a platform's key acts for an account connected to it.
- settings `portal_return_url`: where the customer portal's way back leads (`portal`); a restricted key needs to write portal sessions for it.

A key and a secret belong to live mode or to one sandbox: each is an app of its own here.

Products are Stripe's products (`prod_...`), whatever their price. A line is a subscription (`sub_...`), a further item of one
(`sub_...#si_...`), or a one-time payment (`pi_...`, or `cs_...` where nothing had to be paid). A transaction is an invoice (`in_...`).

Who buys is told by the project's backend: `app_user_id` in the metadata of the subscription, of the checkout session or of the customer, or the
session's `client_reference_id`.
"""

from collections.abc import AsyncIterator, Mapping, Sequence
from datetime import datetime, timedelta

from perennial.base.errors import Invalid, NotFound
from perennial.base.reading import answer_of
from perennial.base.time import EPOCH
from perennial.intake.model import Act, Caught, Envelope, Posted, Question, Reading, StoreApp
from perennial.providers.stripe import acts, events, lookup, signature
from perennial.providers.stripe.api import Fields, StripeApi, can_call, check_mode
from perennial.providers.stripe.payload import Page, Session, Subscription
from perennial.providers.stripe.portal import open_portal
from perennial.subscriptions.model import Environment

__all__ = ["StripeApi", "StripeBilling"]

EVENTS_KEPT = timedelta(days=30)
MOST_PAGES = 10_000  # of a hundred events, subscriptions or checkouts


class StripeBilling:
    """Stripe as `intake.model.Provider`. One serves all apps of a process; close it at the end. `pauses`: between tries, in seconds."""

    def __init__(self, *, pauses: Sequence[float] | None = None) -> None:
        self._api = StripeApi() if pauses is None else StripeApi(pauses=pauses)

    async def close(self) -> None:
        await self._api.close()

    async def prepare(self, headers: Mapping[str, str], body: bytes) -> None:
        """Nothing to fetch: the endpoint's secret is the app's."""

    def open(self, app: StoreApp, body: bytes, headers: Mapping[str, str], now: datetime) -> Envelope:
        return events.opened(app, body, headers.get(signature.HEADER), now)

    def read(self, app: StoreApp, body: bytes, now: datetime) -> Reading:
        return events.read_event(app, body, now)

    async def read_receipt(self, app: StoreApp, posted: Posted, now: datetime) -> Reading:
        """A subscription's id (`sub_...`) or a checkout session's (`cs_...`), as a web page or backend posts it. Errors name `fetch_token`."""
        token = posted.token.strip()
        if not token.startswith(("sub_", "cs_")) or not token.isascii() or len(token) > 255:
            raise Invalid("a Stripe token is a subscription's id (sub_...) or a checkout session's (cs_...)", param="fetch_token")
        try:
            with answer_of("Stripe"):
                reading = await lookup.about(self._api, app, token, posted.line, posted.products, now)
        except NotFound as error:
            raise Invalid(f"fetch_token: {error.message}", param="fetch_token") from error
        if not reading.statements:
            raise Invalid(f"fetch_token: {reading.note or 'nothing was bought with it'}", param="fetch_token")
        return reading

    def can_ask(self, app: StoreApp) -> bool:
        return can_call(app)

    async def ask(self, app: StoreApp, question: Question, posted: Posted, now: datetime) -> Reading:
        """By the id of anything that leads to a subscription or payment: sub, in, cs, pi, ch, re, dp, cus, sub_sched."""
        check_mode(app, question.environment)
        return await lookup.about(self._api, app, question.subject, posted.line, posted.products, now)

    async def missed(
        self, app: StoreApp, since: datetime, until: datetime, environment: Environment, now: datetime
    ) -> AsyncIterator[Caught | Question]:
        """Events of the span, newest first as Stripe lists them. Past the thirty days it keeps them: every subscription and paid checkout too."""
        check_mode(app, environment)
        kept_since = max(since, now - EVENTS_KEPT)
        async for body in self._api.events(app, _between(kept_since, until), most=MOST_PAGES):
            event = events.event_of(body)
            if events.concerns(event):
                yield Caught(envelope=events.envelope_of(event, now), body=body)
        if since >= kept_since:
            return
        everything = (("status", "all"), ("created[lte]", _seconds(until)))
        async for page in self._api.pages(app, "/v1/subscriptions", Page[Subscription], everything, most=MOST_PAGES, must_end=True):
            for one in page:
                yield Question(environment=environment, subject=one.id, hint="missed")
        paid = (("status", "complete"), *_between(since, until))
        async for sessions in self._api.pages(app, "/v1/checkout/sessions", Page[Session], paid, most=MOST_PAGES, must_end=True):
            for session in sessions:
                if session.mode == "payment":
                    yield Question(environment=environment, subject=session.id, hint="missed")

    async def act(self, app: StoreApp, act: Act, posted: Posted, now: datetime) -> Reading:
        """cancel, refund, revoke, extend, defer."""
        check_mode(app, act.environment)
        return await acts.act(self._api, app, act, now)

    async def portal(self, app: StoreApp, subject: str, environment: Environment, now: datetime) -> str:
        """The address of a session of the customer portal."""
        return await open_portal(self._api, app, subject, environment)


def _between(since: datetime, until: datetime) -> Fields:
    return (("created[gte]", _seconds(since)), ("created[lte]", _seconds(until)))


def _seconds(at: datetime) -> int:
    return (at - EPOCH) // timedelta(seconds=1)
