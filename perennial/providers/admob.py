"""AdMob: its signed word that somebody watched a rewarded ad (server-side verification).

Google calls an address of ours once the ad was watched. The last two parameters are the signature of all before them, and the key it was made with;
keys are Google's, the same for every publisher. So a signature alone says that some ad was watched, not that it was one of ours: the ad unit must be
one of the app's (setting `admob_ad_units`, as AdMob shows them, `ca-app-pub-1234567890123456/2747237135`, or their last part).

Google signs the parameters as they are before they are escaped. Two spellings of an address could then be the same words with other meanings, so
parameters count only in the order Google writes them, each once, and ids only as digits.

Source: "Validate server-side verification (SSV) callbacks" (AdMob, 2026), and the RewardedAdsVerifier of tink-java-apps.
"""

import asyncio
import re
from base64 import urlsafe_b64decode
from binascii import Error as NotBase64
from datetime import datetime
from urllib.parse import parse_qsl, unquote_to_bytes

import msgspec
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ec import ECDSA, EllipticCurvePublicKey
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import load_pem_public_key

from perennial.base import reading
from perennial.base.errors import Invalid, Unavailable
from perennial.base.http import Http
from perennial.base.time import perf_counter
from perennial.intake.model import StoreApp, Untrusted
from perennial.rewards.model import AD_UNITS, LONGEST_TRANSACTION, Watched

KEYS = "https://www.gstatic.com/admob/reward/verifier-keys.json"
KEPT = 24 * 3600.0  # seconds: Google turns its keys over, and asks that none be kept longer
FAILED_FOR = 5.0  # seconds without another fetch after one that failed
NOT_SOONER = 60.0  # seconds between two fetches, whatever keys are named by whoever calls
LONGEST = 8 * 1024  # of a query

_MARK = b"&signature="
_DIGITS = re.compile(r"[0-9]{1,24}")
_REQUIRED = ("ad_network", "ad_unit", "reward_amount", "reward_item", "timestamp", "transaction_id")


class Key(msgspec.Struct, frozen=True, rename="camel"):
    key_id: int
    pem: str


class Keys(msgspec.Struct, frozen=True):
    keys: list[Key]


class CustomData(msgspec.Struct, frozen=True):
    """What an SDK may put there beside the name of its transaction."""

    client_transaction_id: str


class AdMob:
    """One serves all apps of a process; close it at the end. `keys` is where Google's are."""

    def __init__(self, *, keys: str = KEYS) -> None:
        self._http, self._address = Http("AdMob"), keys
        self._keys: dict[int, EllipticCurvePublicKey] = {}
        self._fetched: float | None = None
        self._failed: float | None = None  # when it last could not be fetched
        self._under_way: asyncio.Task[None] | None = None

    async def close(self) -> None:
        await self._http.close()

    async def watched(self, app: StoreApp, query: bytes) -> Watched:
        """What a callback says, once it is proven Google's, and about an ad of this app. Raises `Untrusted`, `Invalid` or `Unavailable`."""
        said, signature, key_id = _parts(query)
        key = await self._key(key_id)
        if not any(_is_signed(key, signature, words) for words in (said, unquote_to_bytes(said.replace(b"+", b" ")))):
            raise Untrusted("this callback is not signed by AdMob", param="signature")
        return _watched(app, said)

    async def _key(self, key_id: int) -> EllipticCurvePublicKey:
        age = perf_counter() - self._fetched if self._fetched is not None else None
        if age is None or age > KEPT or (key_id not in self._keys and age > NOT_SOONER):
            await self._fetch()
        if key_id not in self._keys:
            raise Untrusted(f"AdMob has no key {key_id}", param="key_id")
        return self._keys[key_id]

    async def _fetch(self) -> None:
        """One fetch for all who wait, and none right after one that failed: whoever calls names the key, before anything of it is verified."""
        if self._under_way is None:
            if self._failed is not None and perf_counter() - self._failed < FAILED_FOR:
                raise Unavailable("AdMob's keys could not be fetched a moment ago; call again later")
            self._under_way = asyncio.create_task(self._ask())
            self._under_way.add_done_callback(self._asked)
        await asyncio.shield(self._under_way)

    def _asked(self, done: "asyncio.Task[None]") -> None:
        self._under_way = None
        self._failed = perf_counter() if done.cancelled() or done.exception() is not None else None

    async def _ask(self) -> None:
        answer = await self._http.call("GET", self._address)
        if not answer.is_success:
            raise answer.unavailable()
        self._keys = {one.key_id: key for one in answer.decode(Keys).keys if (key := _public_key(one.pem)) is not None}
        self._fetched = perf_counter()
        if not self._keys:
            raise Unavailable("AdMob told no key that we can read")


def _public_key(pem: str) -> EllipticCurvePublicKey | None:
    try:
        key = load_pem_public_key(pem.encode())
    except (ValueError, UnsupportedAlgorithm):
        return None
    return key if isinstance(key, EllipticCurvePublicKey) else None


def _parts(query: bytes) -> tuple[bytes, bytes, int]:
    """What is signed, the signature, and the key's id."""
    if len(query) > LONGEST:
        raise Invalid(f"a query of {len(query)} bytes is longer than the {LONGEST} we read")
    said, mark, rest = query.partition(_MARK)
    found = re.fullmatch(rb"([A-Za-z0-9_=-]{1,200})&key_id=([0-9]{1,18})", rest)
    if not mark or found is None:
        raise Invalid("a callback of AdMob's ends with signature and key_id", param="signature")
    try:
        signature = urlsafe_b64decode(found[1] + b"=" * (-len(found[1]) % 4))
    except (NotBase64, ValueError) as error:
        raise Invalid("signature is not in Base64 for addresses", param="signature") from error
    return said, signature, int(found[2])


def _is_signed(key: EllipticCurvePublicKey, signature: bytes, words: bytes) -> bool:
    try:
        key.verify(signature, words, ECDSA(SHA256()))
    except InvalidSignature:
        return False
    return True


def _watched(app: StoreApp, said: bytes) -> Watched:
    try:
        pairs = parse_qsl(said.decode("ascii"), keep_blank_values=True, strict_parsing=True, errors="strict")
    except ValueError as error:
        raise Invalid("the callback's parameters cannot be read") from error
    names, fields = [name for name, _ in pairs], dict(pairs)
    if names != sorted(set(names)) or any(name not in fields for name in _REQUIRED):
        raise Invalid(f"a callback of AdMob's has {', '.join(_REQUIRED)}, each once and in the order of the alphabet")
    if not all(map(reading.is_text, fields.values())) or not 0 < len(fields["transaction_id"]) <= 255 or len(fields["reward_item"]) > 255:
        raise Invalid("the callback's parameters are longer than AdMob's, or hold a NUL character")
    for name in ("ad_network", "ad_unit", "timestamp", "reward_amount"):
        if not _DIGITS.fullmatch(fields[name]):
            raise Invalid(f"{name} is not a number", param=name)
    if fields["ad_unit"] not in ad_units(app):
        raise Untrusted(f"the ad unit {fields['ad_unit']} is not one of this app's; add it to the app's `{AD_UNITS}`", param="ad_unit")
    return Watched(
        transaction_id=fields["transaction_id"],
        ad_unit=fields["ad_unit"],
        reward_item=fields["reward_item"],
        reward_amount=min(int(fields["reward_amount"]), 10**12),
        watched_at=_moment(int(fields["timestamp"])),
        user_id=fields.get("user_id") or None,
        client_transaction=_client_transaction(fields.get("custom_data", "")),
    )


def ad_units(app: StoreApp) -> set[str]:
    return {unit.rpartition("/")[2] for unit in re.split(r"[\s,]+", app.settings.get(AD_UNITS, "")) if unit}


def _moment(number: int) -> datetime:
    """Milliseconds, as documented; the documentation's own example has microseconds."""
    return reading.milliseconds(number // 1000 if number >= 10**14 else number, "timestamp")


def _client_transaction(custom_data: str) -> str | None:
    """The SDK's transaction: all of the custom data, or a field of it where it is a JSON object."""
    if not custom_data or len(custom_data) > LONGEST_TRANSACTION:
        return None
    if not custom_data.startswith("{"):
        return custom_data
    try:
        return reading.decode(custom_data, CustomData).client_transaction_id or None
    except Invalid:
        return None
