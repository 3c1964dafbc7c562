"""What SDKs report of themselves: events of paywalls, checkouts and ads, and which advertising network a customer came from."""

from perennial.telemetry.actions import attribute, forget_due, forget_person, keep
from perennial.telemetry.db import attributions
from perennial.telemetry.model import KEPT_FOR, MOST_EVENTS, Attribution, SdkEvent
from perennial.telemetry.rules import attributes_of, network_name, read_event

__all__ = [
    "KEPT_FOR",
    "MOST_EVENTS",
    "Attribution",
    "SdkEvent",
    "attribute",
    "attributes_of",
    "attributions",
    "forget_due",
    "forget_person",
    "keep",
    "network_name",
    "read_event",
]
