"""How the secrets of endpoints are kept: each bound to its column and to its row."""

from collections.abc import Mapping

import msgspec

from perennial.base.ids import EndpointId
from perennial.base.secrets import Secret, Vault, covered
from perennial.events import rules

_AUTHORIZATION = "endpoint.authorization_header"  # what the vault binds the secrets to
_SIGNING_SECRET = "endpoint.signing_secret"  # noqa: S105  a column's name
_SECRETS = "endpoint.secrets"


def seal_authorization(vault: Vault, endpoint_id: EndpointId, header: str | None) -> bytes | None:
    if header is None:
        return None
    rules.check_authorization(header)
    return vault.seal(header, _purpose(_AUTHORIZATION, endpoint_id))


def unseal_authorization(vault: Vault, endpoint_id: EndpointId, sealed: bytes | None) -> Secret | None:
    return None if sealed is None else vault.unseal(sealed, _purpose(_AUTHORIZATION, endpoint_id))


def seal_signing_secret(vault: Vault, endpoint_id: EndpointId, secret: str | Secret) -> bytes:
    return vault.seal(secret, _purpose(_SIGNING_SECRET, endpoint_id))


def unseal_signing_secret(vault: Vault, endpoint_id: EndpointId, sealed: bytes) -> Secret:
    return vault.unseal(sealed, _purpose(_SIGNING_SECRET, endpoint_id))


def seal_secrets(vault: Vault, endpoint_id: EndpointId, secrets: Mapping[str, Secret]) -> bytes:
    return vault.seal(msgspec.json.encode({name: secret.reveal() for name, secret in secrets.items()}), _purpose(_SECRETS, endpoint_id))


def unseal_secrets(vault: Vault, endpoint_id: EndpointId, sealed: bytes) -> dict[str, Secret]:
    return covered(msgspec.json.decode(vault.unseal(sealed, _purpose(_SECRETS, endpoint_id)).reveal_bytes(), type=dict[str, str]))


def _purpose(column: str, endpoint_id: EndpointId) -> str:
    """Bound to its row too: one endpoint's header moved to another's row would be sent to a stranger."""
    return f"{column} {endpoint_id}"
