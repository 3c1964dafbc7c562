"""Standard rates of VAT and GST on electronic services to consumers, with the local dates they are in force from.

Only countries where prices for consumers include the tax stand here. In the United States and Canada stores add sales tax to
the price and remit it themselves, so a price there holds none. A country that is not listed counts as one without such a tax.

Source: the European Commission's database of VAT rates (EU), HMRC (GB), the tax offices of the others; state of 2026-11-30.
"""

from collections.abc import Mapping
from datetime import date
from fractions import Fraction

# Basis points from a day on. The first row of a country holds for every day before it as well.
STANDARD_RATES: Mapping[str, tuple[tuple[str, int], ...]] = {
    "AT": (("1984-01-01", 2000),),
    "BE": (("1996-01-01", 2100),),
    "BG": (("1999-01-01", 2000),),
    "CY": (("2014-01-13", 1900),),
    "CZ": (("2013-01-01", 2100),),
    "DE": (("2007-01-01", 1900), ("2020-07-01", 1600), ("2021-01-01", 1900)),
    "DK": (("1992-01-01", 2500),),
    "EE": (("2009-07-01", 2000), ("2024-01-01", 2200), ("2025-07-01", 2400)),
    "ES": (("2012-09-01", 2100),),
    "FI": (("2013-01-01", 2400), ("2024-09-01", 2550)),
    "FR": (("2014-01-01", 2000),),
    "GR": (("2016-06-01", 2400),),
    "HR": (("2012-03-01", 2500),),
    "HU": (("2012-01-01", 2700),),
    "IE": (("2012-01-01", 2300), ("2020-09-01", 2100), ("2021-03-01", 2300)),
    "IT": (("2013-10-01", 2200),),
    "LT": (("2009-09-01", 2100),),
    "LU": (("2015-01-01", 1700), ("2023-01-01", 1600), ("2024-01-01", 1700)),
    "LV": (("2012-07-01", 2100),),
    "MC": (("2014-01-01", 2000),),
    "MT": (("2004-01-01", 1800),),
    "NL": (("2012-10-01", 2100),),
    "PL": (("2011-01-01", 2300),),
    "PT": (("2011-01-01", 2300),),
    "RO": (("2017-01-01", 1900), ("2025-08-01", 2100)),
    "SE": (("1990-07-01", 2500),),
    "SI": (("2013-07-01", 2200),),
    "SK": (("2011-01-01", 2000), ("2025-01-01", 2300)),
    "GB": (("2011-01-04", 2000),),
    "IM": (("2011-01-04", 2000),),
    "NO": (("2005-01-01", 2500),),
    "CH": (("2018-01-01", 770), ("2024-01-01", 810)),
    "LI": (("2018-01-01", 770), ("2024-01-01", 810)),
    "IS": (("2015-01-01", 2400),),
    "AU": (("2000-07-01", 1000),),
    "NZ": (("2010-10-01", 1500),),
    "JP": (("2014-04-01", 800), ("2019-10-01", 1000)),
    "IN": (("2017-07-01", 1800),),
    "KR": (("1977-07-01", 1000),),
    "SG": (("2007-07-01", 700), ("2023-01-01", 800), ("2024-01-01", 900)),
    "TW": (("2017-05-01", 500),),
    "TH": (("2021-09-01", 700),),
    "ID": (("2020-07-01", 1000), ("2022-04-01", 1100)),
    "MY": (("2020-01-01", 600), ("2024-03-01", 800)),
    "PH": (("2006-02-01", 1200),),
    "VN": (("2022-01-01", 1000),),
    "TR": (("2018-01-01", 1800), ("2023-07-10", 2000)),
    "ZA": (("2018-04-01", 1500),),
    "SA": (("2018-01-01", 500), ("2020-07-01", 1500)),
    "AE": (("2018-01-01", 500),),
    "MX": (("2010-01-01", 1600),),
    "CL": (("2003-10-01", 1900),),
    "CO": (("2017-01-01", 1900),),
    "UY": (("2007-07-01", 2200),),
    "RU": (("2019-01-01", 2000), ("2026-01-01", 2200)),
    "UA": (("1992-01-01", 2000),),
    "EG": (("2017-07-01", 1400),),
    "KE": (("2021-01-01", 1600),),
    "NG": (("2020-02-01", 750),),
}


def standard_rate(country: str | None, day: date) -> Fraction:
    """The rate on top of a net price, as a share of it: 19 % is 19/100. 0 for a country that is not listed, or not known."""
    steps = STANDARD_RATES.get((country or "").upper(), ())
    begun = [basis_points for since, basis_points in steps if date.fromisoformat(since) <= day]
    rate = begun[-1] if begun else steps[0][1] if steps else 0
    return Fraction(rate, 10_000)


def included_share(country: str | None, day: date) -> Fraction:
    """What part of a price that includes the tax is tax: at 19 % it is 19/119."""
    rate = standard_rate(country, day)
    return rate / (1 + rate)
