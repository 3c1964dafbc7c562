"""What consumers' prices hold of value-added and goods-and-services tax: standard rates by country and day."""

from perennial.taxes.rules import STANDARD_RATES, included_share, standard_rate

__all__ = ["STANDARD_RATES", "included_share", "standard_rate"]
