"""Secrets at rest: hashed where we only compare, encrypted where we must send them on.

The installation's key comes from `PERENNIAL_SECRET_KEY` (32 bytes, base64) or the file `secret.key` under `PERENNIAL_HOME`, made at
the first start. Who loses it must enter the stores' credentials anew; nothing else is lost.
"""

import base64
import hashlib
import hmac
import os
from pathlib import Path

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from perennial.base.errors import Invalid
from perennial.base.ids import random_bytes


def hash_key(key: str) -> bytes:
    """For API keys, which are long and random: a plain SHA-256 is enough, and quick."""
    return hashlib.sha256(key.encode()).digest()


def same(left: str | bytes, right: str | bytes) -> bool:
    """Compares in constant time."""
    encoded = [part.encode() if isinstance(part, str) else part for part in (left, right)]
    return hmac.compare_digest(*encoded)


class Vault:
    """Encrypts small secrets with AES-256-GCM. `purpose` is bound in: a value moved to another column does not open."""

    def __init__(self, key: bytes) -> None:
        if len(key) != 32:
            raise Invalid("PERENNIAL_SECRET_KEY must be 32 bytes in base64; make one with: openssl rand -base64 32", param="PERENNIAL_SECRET_KEY")
        self._cipher = AESGCM(key)

    @classmethod
    def open(cls, home: Path) -> "Vault":
        if given := os.environ.get("PERENNIAL_SECRET_KEY"):
            try:
                return cls(base64.b64decode(given, validate=True))
            except ValueError as error:
                raise Invalid("PERENNIAL_SECRET_KEY is not base64", param="PERENNIAL_SECRET_KEY") from error
        return cls(_key_in(home))

    def seal(self, secret: str | bytes, purpose: str) -> bytes:
        nonce = random_bytes(12)
        return nonce + self._cipher.encrypt(nonce, secret.encode() if isinstance(secret, str) else secret, purpose.encode())

    def unseal(self, sealed: bytes, purpose: str) -> bytes:
        try:
            return self._cipher.decrypt(sealed[:12], sealed[12:], purpose.encode())
        except InvalidTag as error:
            raise Invalid("a stored secret does not open with this installation's key; restore secret.key or PERENNIAL_SECRET_KEY") from error


def _key_in(home: Path) -> bytes:
    """Reads the key, or makes it; two starters at once agree on one."""
    path = home / "secret.key"
    home.mkdir(parents=True, exist_ok=True)
    if not path.exists():
        draft = home / f".secret.key.{os.getpid()}"
        draft.touch(mode=0o600)
        draft.write_bytes(base64.b64encode(random_bytes(32)))
        try:
            os.link(draft, path)
        except FileExistsError:
            pass
        finally:
            draft.unlink()
    return base64.b64decode(path.read_bytes())
