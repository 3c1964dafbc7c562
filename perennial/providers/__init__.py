"""The outside world, one folder each: stores, gateways, mail. Providers do not know each other, and nothing here reads a clock or a database."""
