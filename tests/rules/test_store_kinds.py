"""An app can be told everything its store's provider reads: no setting and no secret is known on one side alone."""

import re
from pathlib import Path

import pytest

import perennial
from perennial.catalog.model import STORE_KINDS

PROVIDERS = {"play_store": "google", "amazon": "amazon", "stripe": "stripe", "roku": "roku", "paddle": "paddle", "microsoft": "microsoft"}
TELLS = {"account_id", "channel_name"}  # shown to people, and read by no provider
TELLS |= {"admob_ad_units"}  # read by the ad network's, whatever store the app is of
TELLS |= {"commission_percentage"}  # read where proceeds are estimated
READ = re.compile(r"\bapp\.(settings|secrets)(?:\.get\(|\[)\s*['\"](\w+)['\"]")


def read_by(package: str) -> dict[str, set[str]]:
    sources = (Path(perennial.__file__).parent / "providers" / package).glob("**/*.py")
    found = {pair for source in sources for pair in READ.findall(source.read_text())}
    return {part: {name for kind, name in found if kind == part} for part in ("settings", "secrets")}


@pytest.mark.parametrize(("store", "package"), PROVIDERS.items())
def test_an_app_can_be_told_what_its_provider_reads(store: str, package: str) -> None:
    read, kind = read_by(package), STORE_KINDS[store]
    assert read["secrets"] <= set(kind.secrets)
    assert read["settings"] <= set(kind.settings)


@pytest.mark.parametrize(("store", "package"), PROVIDERS.items())
def test_what_an_app_can_be_told_is_named_by_its_provider(store: str, package: str) -> None:
    told = set(STORE_KINDS[store].settings) | set(STORE_KINDS[store].secrets)
    written = " ".join(source.read_text() for source in (Path(perennial.__file__).parent / "providers" / package).glob("**/*.py"))
    assert {name for name in told - TELLS if not re.search(rf"\b{name}\b", written)} == set()


def test_every_store_has_a_key_prefix_of_its_own() -> None:
    prefixes = [kind.key_prefix for kind in STORE_KINDS.values()]
    assert len(set(prefixes)) == len(prefixes)
    assert all(re.fullmatch(r"[a-z]+_", prefix) for prefix in prefixes)
