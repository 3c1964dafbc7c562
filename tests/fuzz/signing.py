"""The App Store's signature around any document, whatever stands in it."""

from typing import Any

from perennial.providers.apple import jws
from perennial.providers.apple.signer import SigningAuthority
from tests.fuzz.mutating import as_json


def signed(pen: SigningAuthority, document: Any) -> str:
    header = pen.sign({}).partition(".")[0]
    covered = f"{header}.".encode() + jws._base64(as_json(document))
    r, s = jws.decode_dss_signature(pen.key.sign(covered, jws._ES256))
    return (covered + b"." + jws._base64(r.to_bytes(32, "big") + s.to_bytes(32, "big"))).decode()
