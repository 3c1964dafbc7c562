"""What happened, and who was told: the event log, webhooks and integrations, and deliveries from a transactional outbox."""

from perennial.events.actions.deliveries import deliver_due
from perennial.events.actions.dispatching import Dispatcher
from perennial.events.actions.endpoints import (
    create_endpoint,
    delete_endpoint,
    get_endpoint,
    list_endpoints,
    pause_endpoint,
    resume_endpoint,
    rotate_secret,
    update_endpoint,
)
from perennial.events.actions.integrations import create_integration, delete_integration, get_integration, list_integrations, update_integration
from perennial.events.actions.log import append, latest_events, list_events
from perennial.events.actions.replays import replay, replay_integration, send_test, send_test_to_integration
from perennial.events.db import forget
from perennial.events.model import Delivery, Endpoint, Integration, NewEvent, RecordedEvent

__all__ = [
    "Delivery",
    "Dispatcher",
    "Endpoint",
    "Integration",
    "NewEvent",
    "RecordedEvent",
    "append",
    "create_endpoint",
    "create_integration",
    "delete_endpoint",
    "delete_integration",
    "deliver_due",
    "forget",
    "get_endpoint",
    "get_integration",
    "latest_events",
    "list_endpoints",
    "list_events",
    "list_integrations",
    "pause_endpoint",
    "replay",
    "replay_integration",
    "resume_endpoint",
    "rotate_secret",
    "send_test",
    "send_test_to_integration",
    "update_endpoint",
    "update_integration",
]
