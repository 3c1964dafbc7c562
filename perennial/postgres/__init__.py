"""The embedded database: a real PostgreSQL with nothing to install, for `perennial up`, the tests and the demo.

`EmbeddedPostgres` keeps one server under a home folder and stops it when we stop. In production the same code meets the same
PostgreSQL by `DATABASE_URL`, and nothing here is used.
"""

from perennial.postgres.binaries import Binaries, find_binaries
from perennial.postgres.child import start_child
from perennial.postgres.supervisor import AlreadyRunning, EmbeddedPostgres, running_url

__all__ = ["AlreadyRunning", "Binaries", "EmbeddedPostgres", "find_binaries", "running_url", "start_child"]
