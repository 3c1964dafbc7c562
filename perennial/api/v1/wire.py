"""Request bodies of v1. Unknown fields are ignored: SDKs of every version send more than we need."""

from typing import Any

import msgspec

from perennial.base.time import from_ms
from perennial.customers.model import Attribute


class AttributeIn(msgspec.Struct):
    value: str | None = None
    updated_at_ms: int | float | None = None


class Identify(msgspec.Struct):
    app_user_id: str
    new_app_user_id: str


class Alias(msgspec.Struct):
    new_app_user_id: str


class Attributes(msgspec.Struct):
    attributes: dict[str, AttributeIn]


class PostReceipt(msgspec.Struct):
    app_user_id: str
    fetch_token: str | None = None
    app_transaction: str | None = None
    product_id: str | None = None
    product_ids: list[str] | None = None
    is_restore: bool | None = None
    initiation_source: str | None = None
    presented_offering_identifier: str | None = None
    attributes: dict[str, AttributeIn] | None = None

    @property
    def products(self) -> tuple[str, ...]:
        return tuple(self.product_ids or ([self.product_id] if self.product_id else []))[:100]


class Events(msgspec.Struct):
    """Whatever SDKs report of themselves: counted, not kept."""

    events: list[Any] = []
    entries: list[Any] = []


def attributes_of(sent: dict[str, AttributeIn], now_ms: int, client_ip: str | None) -> dict[str, Attribute]:
    """`$ip: "true"` asks the server to fill in what it sees."""
    return {
        name: Attribute(
            value=client_ip if name == "$ip" and one.value == "true" else one.value,
            updated_at=from_ms(one.updated_at_ms if one.updated_at_ms is not None else now_ms),
        )
        for name, one in list(sent.items())[:1000]
    }
