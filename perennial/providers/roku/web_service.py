"""The Roku Pay web service: asking Roku, cancelling, giving back.

The API key is part of the addresses asked and of the bodies posted: addresses that hold it travel as secret paths and are in no log.
"""

from decimal import Decimal
from urllib.parse import quote, urlsplit

import msgspec

from perennial.base.errors import Invalid, NotConfigured
from perennial.base.http import Http
from perennial.intake.model import StoreApp
from perennial.providers.roku.payload import Answer, Transaction

ADDRESS = "https://apipub.roku.com/listen/transaction-service.svc"

_LONGEST_ID = 1024


class WebService:
    """One pool of connections to Roku, shared by every app. Close it when the process ends."""

    def __init__(self, http: Http) -> None:
        self._http = http

    async def transaction(self, app: StoreApp, transaction_id: str) -> Transaction:
        """`validate-transaction`. A refusal is a value: `is_success` says so."""
        return await self._ask(app, "validate-transaction", transaction_id)

    async def refund(self, app: StoreApp, refund_id: str) -> Transaction:
        """`validate-refund`."""
        return await self._ask(app, "validate-refund", refund_id)

    async def cancel_subscription(self, app: StoreApp, transaction_id: str, reference: str, cancelled_at: str) -> Answer:
        fields: dict[str, object] = {
            "transactionId": transaction_id,
            "partnerReferenceId": reference,
            "cancellationDate": cancelled_at,
            "dontNotifyUser": False,
        }
        return await self._post(app, "cancel-subscription", fields)

    async def refund_subscription(self, app: StoreApp, transaction_id: str, reference: str, amount: Decimal, comments: str) -> Answer:
        """`amount` without tax, in major units; Roku adds the tax's share."""
        fields: dict[str, object] = {
            "transactionId": transaction_id,
            "partnerReferenceId": reference,
            "amount": msgspec.Raw(str(amount).encode()),
            "comments": comments,
        }
        return await self._post(app, "refund-subscription", fields)

    async def _ask(self, app: StoreApp, call: str, identifier: str) -> Transaction:
        if not 0 < len(identifier) <= _LONGEST_ID:
            raise Invalid("not a transaction id as Roku gives them", param="fetch_token")
        address = f"{_address(app)}/{call}"
        secret_path = f"{urlsplit(address).path}/{quote(_api_key(app), safe='')}/{quote(identifier, safe='')}"
        answer = await self._http.call("GET", address, secret_path=secret_path)
        if not answer.is_success:
            raise answer.unavailable()
        return answer.decode(Transaction)

    async def _post(self, app: StoreApp, call: str, fields: dict[str, object]) -> Answer:
        answer = await self._http.call("POST", f"{_address(app)}/{call}", json={**fields, "partnerAPIKey": _api_key(app)})
        if not answer.is_success:
            raise answer.unavailable()
        return answer.decode(Answer)


def _address(app: StoreApp) -> str:
    return (app.api_base_url or ADDRESS).rstrip("/")


def _api_key(app: StoreApp) -> str:
    key = app.reveal("api_key")
    if not key:
        raise NotConfigured("the app has no `api_key`; Roku cannot be asked without it", param="api_key")
    return key
