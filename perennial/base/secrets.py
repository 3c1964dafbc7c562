"""Secrets at rest: hashed where we only compare, encrypted where we must send them on. In memory: a `Secret`, which no output shows.

The installation's key comes from `PERENNIAL_SECRET_KEY` (32 bytes, base64) or the file `secret.key` under `PERENNIAL_HOME`, made at
the first start. Who loses it must enter the stores' credentials anew; nothing else is lost.
"""

import base64
import hashlib
import hmac
import os
import re
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import NoReturn
from urllib.parse import quote, unquote, urlsplit, urlunsplit
from weakref import WeakValueDictionary

import msgspec
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from perennial.base.errors import Invalid
from perennial.base.ids import random_bytes

_VARIABLE = "PERENNIAL_SECRET_KEY"
_FILE = "secret.key"
_LENGTH = 32  # bytes


class WrongKey(Invalid):
    """What is stored was sealed with another key."""


def hash_key(key: str) -> bytes:
    """For API keys, which are long and random: a plain SHA-256 is enough, and quick."""
    return hashlib.sha256(key.encode()).digest()


def same(left: str | bytes, right: str | bytes) -> bool:
    """Compares in constant time."""
    encoded = [part.encode() if isinstance(part, str) else part for part in (left, right)]
    return hmac.compare_digest(*encoded)


HIDDEN = "***"
SHORTEST_HIDDEN = 6  # characters: a secret of a few letters is none, and would be found in any word
_NAMES_A_SECRET = re.compile(r"(?:key|secret|token|password)$")
_SHORTEST_LINE = 20  # of a key of several lines, such as PEM


class Secret:
    """A secret in memory. Every way to print it shows `***`; `reveal` is called at the place of use, and its result is kept nowhere."""

    __slots__ = ("__weakref__", "_content")

    def __init__(self, content: "str | bytes | Secret") -> None:
        plain = content.reveal_bytes() if isinstance(content, Secret) else content
        self._content: bytes = plain.encode() if isinstance(plain, str) else bytes(plain)
        _LIVING[id(self)] = self

    def reveal(self) -> str:
        return self._content.decode()

    def reveal_bytes(self) -> bytes:
        return self._content

    def __repr__(self) -> str:
        return f"Secret({HIDDEN})"

    def __str__(self) -> str:
        return HIDDEN

    def __format__(self, specification: str) -> str:
        return HIDDEN

    def __bool__(self) -> bool:
        return bool(self._content)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Secret) and hmac.compare_digest(self._content, other._content)

    def __hash__(self) -> int:
        return hash(self._content)

    def __copy__(self) -> "Secret":
        return self

    def __deepcopy__(self, memo: object) -> "Secret":
        return self

    def __reduce__(self) -> NoReturn:
        raise TypeError("a Secret is not pickled: seal it with the vault")


_LIVING: WeakValueDictionary[int, Secret] = WeakValueDictionary()  # the secrets in use, by identity: what `conceal` looks for


def _living() -> list[Secret]:
    return [secret for reference in _LIVING.valuerefs() if (secret := reference()) is not None]


def covered(secrets: Mapping[str, "str | Secret"]) -> dict[str, Secret]:
    """Each of the named secrets as a `Secret`."""
    return {name: secret if isinstance(secret, Secret) else Secret(secret) for name, secret in secrets.items()}


def conceal(text: str, secrets: Iterable[Secret] | None = None) -> str:
    """The text with `***` in place of the secrets, in every usual spelling; of all secrets in use where none are given.

    For texts of others that may repeat what they were sent: a store's answer, an exception of a library. Too slow for what is written often.
    """
    for secret in _living() if secrets is None else secrets:
        for spelling in _spellings(secret.reveal_bytes().decode(errors="replace")):
            if spelling in text:
                text = text.replace(spelling, HIDDEN)
    return text


def without_credentials(address: str) -> str:
    """A URL without user name, password, query and fragment, for a person."""
    try:
        parts = urlsplit(address)
        port = f":{parts.port}" if parts.port else ""
    except ValueError:  # a password with a slash in it, among others
        return "***"
    return urlunsplit((parts.scheme, f"{parts.hostname or ''}{port}", parts.path, "", "")) if parts.scheme and parts.hostname else "***"


def _spellings(secret: str) -> Iterator[str]:
    """Whole; as a part of URLs, headers and JSON; line by line, and member by member."""
    stripped = secret.strip()
    if len(stripped) < SHORTEST_HIDDEN:
        return
    yield stripped
    yield quote(stripped, safe="")
    yield base64.b64encode(f"{stripped}:".encode()).decode()
    yield base64.b64encode(stripped.encode()).decode()
    yield msgspec.json.encode(stripped).decode()[1:-1]
    yield repr(stripped)[1:-1]
    if "\n" in stripped:
        yield from (line.strip() for line in stripped.splitlines() if len(line.strip()) >= _SHORTEST_LINE and not line.startswith("-----"))
    if "://" in stripped and (password := stripped.partition("://")[2].rpartition("@")[0].partition(":")[2]):
        yield from _spellings(password)
        yield from _spellings(unquote(password))
    if stripped.startswith("{"):
        yield from _spellings_of_members(stripped)


def _spellings_of_members(document: str) -> Iterator[str]:
    """A key file in JSON holds its secret in a member. Its other members (an address, a project's name) are no secrets."""
    try:
        members = msgspec.json.decode(document, type=dict[str, object])
    except (msgspec.MsgspecError, RecursionError):
        return
    for name, member in members.items():
        if isinstance(member, str) and _NAMES_A_SECRET.search(name):
            yield from _spellings(member)


class Vault:
    """Encrypts small secrets with AES-256-GCM. `purpose` is bound in: a value moved to another column does not open."""

    def __init__(self, key: bytes | None, home: Path | None = None) -> None:
        self._key_cipher = None if key is None else AESGCM(key)
        self._home = home

    @classmethod
    def open(cls, home: Path, *, makes_key: bool = True) -> "Vault":
        """With the installation's key. Where there is none it is made, or else whatever needs it is refused."""
        if not makes_key and not has_key(home):
            return cls(None, home)
        return cls(_given_key() or _key_in(home))

    @property
    def _cipher(self) -> AESGCM:
        if self._key_cipher is None:
            raise no_key(self._home)
        return self._key_cipher

    def seal(self, secret: str | bytes | Secret, purpose: str) -> bytes:
        nonce = random_bytes(12)
        return nonce + self._cipher.encrypt(nonce, Secret(secret).reveal_bytes(), purpose.encode())

    def unseal(self, sealed: bytes, purpose: str) -> Secret:
        try:
            return Secret(self._cipher.decrypt(sealed[:12], sealed[12:], purpose.encode()))
        except InvalidTag as error:
            raise WrongKey("a stored secret does not open with this installation's key; restore secret.key or PERENNIAL_SECRET_KEY") from error


def has_key(home: Path) -> bool:
    """Whether there is a key already, given or in the file."""
    return bool(os.environ.get(_VARIABLE)) or os.path.exists(home / _FILE)  # False where the folder may not be read


def no_key(home: Path | None) -> Invalid:
    """A key made where none was given would be another one on every machine, and in every new container."""
    return Invalid(
        "PERENNIAL_SECRET_KEY is not set: the key that the secrets in the database are sealed with, the same for all servers and workers, "
        f"and for commands. Where there is none yet, make one with: openssl rand -base64 32; and keep it safe. "
        f"({home} has no secret.key either, or none that this user can read.)",
        param=_VARIABLE,
    )


def place_of_key(home: Path) -> str:
    """Where the key in use comes from, in words for whoever must look at it."""
    return _VARIABLE if os.environ.get(_VARIABLE) else str(home / _FILE)


def _given_key() -> bytes | None:
    given = os.environ.get(_VARIABLE)
    return _decoded(given.encode(), _VARIABLE) if given else None


def _key_in(home: Path) -> bytes:
    """Reads the key, or makes it; two starters at once agree on one."""
    path = home / _FILE
    try:
        if not path.exists():
            _make_key(home, path)
        return _decoded(path.read_bytes(), str(path))
    except OSError as error:
        raise Invalid(
            f"the installation's key in {path} cannot be read or made: {error.strerror}; "
            "set PERENNIAL_SECRET_KEY, or PERENNIAL_HOME to a folder that can be written",
            param="PERENNIAL_HOME",
        ) from error


def _make_key(home: Path, path: Path) -> None:
    home.mkdir(parents=True, exist_ok=True)
    draft = home / f".{_FILE}.{os.getpid()}"
    draft.touch(mode=0o600)
    draft.write_bytes(base64.b64encode(random_bytes(_LENGTH)))
    try:
        os.link(draft, path)
    except FileExistsError:
        pass
    finally:
        draft.unlink()


def _decoded(text: bytes, where: str) -> bytes:
    try:
        key = base64.b64decode(text.strip(), validate=True)
    except ValueError as error:
        raise Invalid(f"{where} is not base64; it must be 32 bytes in base64, as made by: openssl rand -base64 32", param=_VARIABLE) from error
    if len(key) != _LENGTH:
        raise Invalid(f"{where} must be 32 bytes in base64, and is {len(key)}; make one with: openssl rand -base64 32", param=_VARIABLE)
    return key
