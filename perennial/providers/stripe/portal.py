"""Stripe's customer portal: a session of a few minutes, in which a customer sees and changes what they bought.

What the portal lets them do is set in Stripe's dashboard; without a portal configured there Stripe refuses, in words of its own. The app's setting
`portal_return_url` is where its way back leads; without it, where the portal's configuration says.
"""

from perennial.base.errors import Invalid, NotConfigured, NotFound
from perennial.base.ids import new_token
from perennial.intake.model import CannotAct, StoreApp
from perennial.providers.stripe.api import Fields, StripeApi, check_mode, path_of
from perennial.providers.stripe.payload import Identified, Subscription, id_of
from perennial.subscriptions.model import Environment


class PortalSession(Identified):
    """`billing_portal.session`, as far as we read it."""

    url: str = ""


async def open_portal(api: StripeApi, app: StoreApp, subject: str, environment: Environment) -> str:
    """The address of a new session for whoever holds a subscription (`sub_1`, or `sub_1#si_2`). Raises `CannotAct` with Stripe's words."""
    try:
        check_mode(app, environment)
        customer = id_of((await api.get(app, path_of("subscriptions", subject.partition("#")[0]), Subscription)).customer)
        if customer is None:
            raise CannotAct(f"Stripe knows {subject!r} without a customer, and its portal is a customer's")
        # A key that is new each time: a session is short-lived, and the same one handed out again would be over too soon.
        session = await api.post(app, "/v1/billing_portal/sessions", PortalSession, _form(app, customer), key=f"portal-{new_token(16)}")
    except (NotConfigured, NotFound, Invalid) as error:
        raise CannotAct(error.message) from error
    if not session.url:
        raise CannotAct("Stripe made a session of its portal that has no address")
    return session.url


def _form(app: StoreApp, customer: str) -> Fields:
    return_url = app.settings.get("portal_return_url")
    return (("customer", customer), *((("return_url", return_url),) if return_url else ()))
