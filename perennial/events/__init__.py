"""What happened, and who was told: the event log, webhook endpoints, and deliveries from a transactional outbox."""

from perennial.events.actions import (
    append,
    create_endpoint,
    delete_endpoint,
    deliver_due,
    get_endpoint,
    latest_events,
    list_endpoints,
    list_events,
    replay,
    send_test,
    update_endpoint,
)
from perennial.events.db import forget
from perennial.events.model import Delivery, Endpoint, NewEvent, RecordedEvent

__all__ = [
    "Delivery",
    "Endpoint",
    "NewEvent",
    "RecordedEvent",
    "append",
    "create_endpoint",
    "delete_endpoint",
    "deliver_due",
    "forget",
    "get_endpoint",
    "latest_events",
    "list_endpoints",
    "list_events",
    "replay",
    "send_test",
    "update_endpoint",
]
