"""What happened, and who was told: the event log, webhook endpoints, and deliveries from a transactional outbox."""

from perennial.events.actions import (
    append,
    create_endpoint,
    delete_endpoint,
    deliver_due,
    get_endpoint,
    list_endpoints,
    list_events,
    replay,
    send_test,
    update_endpoint,
)
from perennial.events.model import Endpoint, NewEvent

__all__ = [
    "Endpoint",
    "NewEvent",
    "append",
    "create_endpoint",
    "delete_endpoint",
    "deliver_due",
    "get_endpoint",
    "list_endpoints",
    "list_events",
    "replay",
    "send_test",
    "update_endpoint",
]
