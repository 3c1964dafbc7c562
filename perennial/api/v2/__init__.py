"""Management by servers and tools, in the shapes of the vendor's REST API v2, with a few resources of our own: clock, placements, events."""

from litestar import Router
from litestar.di import Provide
from litestar.exceptions import ValidationException

from perennial.api.v2 import (
    ad_rewards,
    apps,
    collaborators,
    customer_acts,
    customer_center,
    customers,
    entitlements,
    holding_acts,
    integrations,
    keys,
    offerings,
    packages,
    products,
    projects,
    subscriptions,
    virtual_currencies,
    webhooks,
)
from perennial.api.v2.entry import admit, check_request
from perennial.api.v2.idempotency import keep_answers
from perennial.api.v2.pages import page_of
from perennial.api.v2.refusals import on_validation_error

router = Router(
    path="/v2",
    route_handlers=[
        *projects.HANDLERS,
        *keys.HANDLERS,
        *collaborators.HANDLERS,
        *apps.HANDLERS,
        *ad_rewards.HANDLERS,
        *products.HANDLERS,
        *entitlements.HANDLERS,
        *offerings.HANDLERS,
        *packages.HANDLERS,
        *customers.HANDLERS,
        *customer_acts.HANDLERS,
        *subscriptions.HANDLERS,
        *holding_acts.HANDLERS,
        *virtual_currencies.HANDLERS,
        *customer_center.HANDLERS,
        *webhooks.HANDLERS,
        *integrations.HANDLERS,
    ],
    dependencies={"page": Provide(page_of)},
    guards=[admit],
    middleware=[keep_answers],
    before_request=check_request,
    exception_handlers={ValidationException: on_validation_error},
)

__all__ = ["router"]
