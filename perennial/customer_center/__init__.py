"""The Customer Center: the screen in an app where customers help themselves, and the tickets they write where they cannot."""

from perennial.customer_center.actions import close_ticket, create_ticket, forget_person, get_config, get_tickets, set_config, shown_to
from perennial.customer_center.model import Config, Ticket

__all__ = ["Config", "Ticket", "close_ticket", "create_ticket", "forget_person", "get_config", "get_tickets", "set_config", "shown_to"]
