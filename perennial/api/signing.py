"""Response signing, as the native SDKs verify it ("trusted entitlements"): Ed25519, an intermediate key signed by a root.

Layout of `X-Signature`, 180 bytes in base64: intermediate public key (32), its expiration in days (4, little endian), the root's
signature over expiration and key (64), salt (16), the intermediate's signature over the message (64). The message is the plain
concatenation salt, API key, nonce, path, X-Post-Params-Hash, X-Headers-Hash, request time, ETag, body.

The SDKs carry the vendor's root key, so an unmodified app reports our signatures as failed unless verification is disabled; an app
built with our root (`perennial doctor` prints it) verifies them. See docs/pointing-an-app-here.md.
"""

import base64
import binascii
from datetime import datetime, timedelta
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat

from perennial.base.db import Database, find_installation_secret, keep_installation_secret
from perennial.base.ids import random_bytes
from perennial.base.secrets import Vault
from perennial.base.time import EPOCH
from perennial.base.value import value

INTERMEDIATE_LIVES = timedelta(days=28)
_PURPOSE = "signing.root"


@value
class Signed:
    """What of a request and its answer is signed. All as sent: strings untouched, the body before any content encoding."""

    api_key: str
    nonce: bytes
    path: str
    post_params_hash: str
    headers_hash: str
    request_time: str
    etag: str
    body: bytes

    def __repr__(self) -> str:
        return f"Signed({self.path})"

    def message(self, salt: bytes) -> bytes:
        text = self.path + self.post_params_hash + self.headers_hash + self.request_time + self.etag
        return salt + self.api_key.encode() + self.nonce + text.encode() + self.body


class Signer:
    """Signs with an intermediate key made at start and renewed long before it expires."""

    def __init__(self, root: Ed25519PrivateKey, now: datetime) -> None:
        self._root = root
        self._renew(now)

    @classmethod
    async def open(cls, database: Database, vault: Vault, home: Path) -> "Signer":
        """With the root that the database keeps, sealed, for all servers: made at the first start, or taken over from a home of before.

        `WrongKey` where it was sealed with another key than this process has: then so was everything else.
        """
        kept = await find_installation_secret(database, _PURPOSE)
        if kept is None:
            kept = await keep_installation_secret(database, _PURPOSE, _root_of_before(home, vault) or vault.seal(_new_root(), _PURPOSE))
        return cls(Ed25519PrivateKey.from_private_bytes(vault.unseal(kept, _PURPOSE).reveal_bytes()), database.clock())

    @staticmethod
    async def try_key(database: Database, vault: Vault) -> None:
        """As `open`, where nothing may be made: `WrongKey` where what the database keeps was sealed with another key."""
        if (kept := await find_installation_secret(database, _PURPOSE)) is not None:
            vault.unseal(kept, _PURPOSE)

    @property
    def root_public_key(self) -> str:
        """Base64, as an SDK's source holds it."""
        return base64.b64encode(_raw(self._root)).decode()

    def sign(self, signed: Signed, now: datetime) -> str:
        if now > self._renew_at:
            self._renew(now)
        salt = random_bytes(16)
        return base64.b64encode(self._prefix + salt + self._key.sign(signed.message(salt))).decode()

    def _renew(self, now: datetime) -> None:
        self._key = Ed25519PrivateKey.generate()
        days = ((now + INTERMEDIATE_LIVES) - EPOCH).days.to_bytes(4, "little")
        public = _raw(self._key)
        self._prefix = public + days + self._root.sign(days + public)
        self._renew_at = now + INTERMEDIATE_LIVES / 2


def _root_of_before(home: Path, vault: Vault) -> bytes | None:
    """Earlier versions kept it in a file of each home."""
    path = home / "signing-root.sealed"
    if not path.exists():
        return None
    sealed = path.read_bytes()
    vault.unseal(sealed, _PURPOSE)
    return sealed


def _new_root() -> bytes:
    return Ed25519PrivateKey.generate().private_bytes(Encoding.Raw, PrivateFormat.Raw, NoEncryption())


def decode_nonce(header: str) -> bytes:
    """Twelve bytes in base64. What is not base64 counts as no nonce: the signature will then not match, which is the right answer."""
    try:
        return base64.b64decode(header, validate=True)
    except (binascii.Error, ValueError):
        return b""


def _raw(key: Ed25519PrivateKey) -> bytes:
    return key.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)
