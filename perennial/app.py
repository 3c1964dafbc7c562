"""Puts everything together, once. Whoever needs the outside is handed this."""

from collections.abc import AsyncIterator, Collection, Mapping
from contextlib import asynccontextmanager
from functools import partial
from typing import Any

import structlog

from perennial import subscriptions
from perennial.base.db import LIMIT, Database
from perennial.base.ids import ProjectId
from perennial.base.secrets import Vault
from perennial.base.value import value
from perennial.events.model import Carrier, Sender
from perennial.intake.model import Provider
from perennial.observability import configure_for_people
from perennial.providers.admob import AdMob
from perennial.providers.amazon import AmazonAppstore
from perennial.providers.apple import AppStore
from perennial.providers.google import PlayStore
from perennial.providers.integrations import Integrations
from perennial.providers.microsoft import MicrosoftStore
from perennial.providers.paddle import PaddleBilling
from perennial.providers.roku import RokuPay
from perennial.providers.stripe import StripeBilling
from perennial.providers.test_store import TestStore
from perennial.providers.webhook import WebhookSender
from perennial.settings import Settings


@value
class App:
    settings: Settings
    database: Database
    vault: Vault
    providers: dict[str, Provider]  # by store
    sender: Sender
    carrier: Carrier
    ads: AdMob


@asynccontextmanager
async def open_app(
    settings: Settings, *, application: str = "perennial", connections: int = 10, limit: float = LIMIT, makes_key: bool = True
) -> AsyncIterator[App]:
    """`limit`: seconds after which a database that does not answer counts as silent. `makes_key`: the installation's, where there is none."""
    if not structlog.is_configured():  # its own default would show the variables of every traceback
        configure_for_people()
    url = settings.require_database_url()
    database = await Database.open(url, application=application, connections=connections, limit=limit)
    sender = WebhookSender(allow_internal=settings.allow_internal_webhooks)
    carrier = Integrations(
        allow_internal=settings.allow_internal_webhooks, files_folder=settings.files_folder, customer_infos=partial(_customer_infos, database)
    )
    app_store = AppStore()
    amazon, roku, paddle, microsoft = AmazonAppstore(), RokuPay(), PaddleBilling(), MicrosoftStore()
    stripe, play_store = StripeBilling(), PlayStore()
    ads = AdMob()
    try:
        yield App(
            settings=settings,
            database=database,
            vault=Vault.open(settings.home, makes_key=makes_key),
            providers={
                "app_store": app_store,
                "mac_app_store": app_store,
                "play_store": play_store,
                "amazon": amazon,
                "roku": roku,
                "paddle": paddle,
                "microsoft": microsoft,
                "stripe": stripe,
                "test_store": TestStore(),
            },
            sender=sender,
            carrier=carrier,
            ads=ads,
        )
    finally:
        await app_store.close()
        for store in (play_store, amazon, roku, paddle, microsoft, stripe):
            await store.close()
        await ads.close()
        await sender.close()
        await carrier.close()
        await database.close()


async def _customer_infos(database: Database, project_id: ProjectId, app_user_ids: Collection[str]) -> Mapping[str, Any]:
    async with database.transaction(project_id) as tx:
        return await subscriptions.customer_infos(tx, app_user_ids)
