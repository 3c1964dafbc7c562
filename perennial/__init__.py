"""Perennial: sell subscriptions anywhere, know who may use what, on your own PostgreSQL."""

__version__ = "0.1.0"
