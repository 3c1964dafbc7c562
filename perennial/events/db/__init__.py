"""SQL of events, of who hears them and of deliveries, by its nouns.

These tables grow without end and of one project faster than statistics follow, so what PostgreSQL expects of them is often far too little,
and a plain join of a thousand keys with them may be planned as a thousand walks over the whole project. Two habits keep plans right
whatever is expected:

- Rows are looked up key by key, in a `LATERAL` that ends in `LIMIT 1` or `FOR UPDATE`, which is never turned into another join. To change
  rows, they are looked up so, locked, and written back by `INSERT ... ON CONFLICT DO UPDATE`, which goes by the key alone.
- Walks in the order of an index say `project_id = (SELECT ...)` beside the wall, whose `= ANY (...)` does not tell that one project's rows
  follow each other; and the subquery keeps a project too young for statistics from counting as empty.
"""

from perennial.events.db.deliveries import (
    Due,
    DueEndpoint,
    claim,
    claim_batches,
    find_due,
    hold_followers,
    insert_delivery,
    lock_due,
    lock_due_to,
    open_deliveries,
    park_waiting_tests,
    reopen_deliveries,
    save_settled,
    wake_next,
)
from perennial.events.db.endpoints import (
    count_endpoints,
    delete_endpoint,
    get_endpoints,
    has_app,
    insert_endpoint,
    lock_endpoints,
    page_endpoints,
    rotate_secret,
    routes,
    save_health,
    set_authorization,
    set_paused,
    update_endpoint,
)
from perennial.events.db.integrations import configure_integration, get_integrations, insert_integration, page_integrations, update_integration
from perennial.events.db.log import (
    Heading,
    events_after,
    events_before,
    find_events,
    forget,
    headings_after,
    insert_events,
    next_test_sequence,
    unknown,
    with_deliveries,
)

__all__ = [
    "Due",
    "DueEndpoint",
    "Heading",
    "claim",
    "claim_batches",
    "configure_integration",
    "count_endpoints",
    "delete_endpoint",
    "events_after",
    "events_before",
    "find_due",
    "find_events",
    "forget",
    "get_endpoints",
    "get_integrations",
    "has_app",
    "headings_after",
    "hold_followers",
    "insert_delivery",
    "insert_endpoint",
    "insert_events",
    "insert_integration",
    "lock_due",
    "lock_due_to",
    "lock_endpoints",
    "next_test_sequence",
    "open_deliveries",
    "page_endpoints",
    "page_integrations",
    "park_waiting_tests",
    "reopen_deliveries",
    "rotate_secret",
    "routes",
    "save_health",
    "save_settled",
    "set_authorization",
    "set_paused",
    "unknown",
    "update_endpoint",
    "update_integration",
    "wake_next",
    "with_deliveries",
]
