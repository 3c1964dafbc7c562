"""SQL of what stores send us and of what we ask and do there, by its nouns.

Walks in the order of an index say `project_id = (SELECT ...)` beside the wall, whose `= ANY (...)` does not give that order.
"""

from perennial.intake.db.acts import WantedAct, claim_acts, close_act, postpone_act, wake_act, want_acts
from perennial.intake.db.apps import store_apps
from perennial.intake.db.catching_up import begin_catch_up, catch_up_report, lines_of_span, save_catch_up, unfinished_catch_up
from perennial.intake.db.inquiries import (
    Inquiry,
    about_to_be_asked,
    claim_inquiries,
    claim_inquiries_about,
    close_inquiries,
    inquire,
    postpone_inquiry,
    reopen_inquiries,
    wake_inquiry,
)
from perennial.intake.db.messages import (
    Due,
    due_messages,
    keep,
    last_notification,
    mark_digested,
    misdeliveries,
    note_misdelivery,
    step_aside,
    wake_message,
)
from perennial.intake.db.payments import keep_payment, payments_of
from perennial.intake.db.unread import keep_unread, unread_since

__all__ = [
    "Due",
    "Inquiry",
    "WantedAct",
    "about_to_be_asked",
    "begin_catch_up",
    "catch_up_report",
    "claim_acts",
    "claim_inquiries",
    "claim_inquiries_about",
    "close_act",
    "close_inquiries",
    "due_messages",
    "inquire",
    "keep",
    "keep_payment",
    "keep_unread",
    "last_notification",
    "lines_of_span",
    "mark_digested",
    "misdeliveries",
    "note_misdelivery",
    "payments_of",
    "postpone_act",
    "postpone_inquiry",
    "reopen_inquiries",
    "save_catch_up",
    "step_aside",
    "store_apps",
    "unfinished_catch_up",
    "unread_since",
    "wake_act",
    "wake_inquiry",
    "wake_message",
    "want_acts",
]
