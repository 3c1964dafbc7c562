"""Moving out: transactions as files, daily, in the columns of the vendor's scheduled data export, to a folder or a bucket."""

from perennial.exports.actions import create, delete, listed, pause, require, resume, run, run_due
from perennial.exports.rules import COLUMNS

__all__ = ["COLUMNS", "create", "delete", "listed", "pause", "require", "resume", "run", "run_due"]
