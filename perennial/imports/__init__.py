"""Moving in: customers and what they bought, from another system's files, API or receipts; and whether two systems agree."""

from perennial.imports.actions import House, age_of, file_batches, load_shelf, open_import, run, sort_files, unhurried_collector
from perennial.imports.comparing import Difference, compare
from perennial.imports.db import latest, sample
from perennial.imports.files import Sorted, files_of, fingerprint
from perennial.imports.financial_reports import ReportOutcome, apply_report
from perennial.imports.receipts import batches as receipt_batches
from perennial.imports.remote import Remote, ask
from perennial.imports.remote import batches as remote_batches
from perennial.imports.tables import ROWS_MAY_HAVE, ROWS_NEED

__all__ = [
    "ROWS_MAY_HAVE",
    "ROWS_NEED",
    "Difference",
    "House",
    "Remote",
    "ReportOutcome",
    "Sorted",
    "age_of",
    "apply_report",
    "ask",
    "compare",
    "file_batches",
    "files_of",
    "fingerprint",
    "latest",
    "load_shelf",
    "open_import",
    "receipt_batches",
    "remote_batches",
    "run",
    "sample",
    "sort_files",
    "unhurried_collector",
]
