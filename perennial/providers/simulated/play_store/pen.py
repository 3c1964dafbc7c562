"""What the simulated Google Play signs with: a key of its own for push tokens, and a certificate that only a project which opted in believes."""

from datetime import datetime, timedelta

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey, generate_private_key
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, load_pem_private_key

from perennial.base.ids import random_bytes
from perennial.base.time import FOREVER, to_ms
from perennial.base.value import value
from perennial.providers.google.api import sign
from perennial.providers.google.push import key_id_of

PUSHER = "simulated-play@perennial.invalid"
_YEAR = timedelta(days=365)
_YEARS_AHEAD = 50  # a sandbox clock may run far
_TOKEN_LIFE = timedelta(hours=1)


@value
class Pen:
    key: RSAPrivateKey
    certificate: bytes  # DER

    @classmethod
    def create(cls, now: datetime) -> "Pen":
        key = new_key()
        name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, f"Simulated Google Play {random_bytes(8).hex()}")])
        until = now + _YEARS_AHEAD * _YEAR if now < FOREVER - _YEARS_AHEAD * _YEAR else FOREVER
        builder = x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(key.public_key())
        builder = builder.serial_number(int.from_bytes(b"\x01" + random_bytes(18), "big")).not_valid_before(now - _YEAR).not_valid_after(until)
        return cls(key=key, certificate=builder.sign(key, SHA256()).public_bytes(Encoding.DER))

    def push_token(self, audience: str, now: datetime) -> str:
        """The bearer token Pub/Sub would put on a push at this moment."""
        claims = {
            "iss": "https://accounts.google.com",
            "aud": audience,
            "email": PUSHER,
            "email_verified": True,
            "iat": to_ms(now) // 1000,
            "exp": to_ms(now + _TOKEN_LIFE) // 1000,
        }
        return sign({"alg": "RS256", "kid": key_id_of(self.certificate), "typ": "JWT"}, claims, self.key)

    def dump(self) -> bytes:
        """The private key as PEM: keep it where secrets are kept."""
        return pem(self.key).encode()

    @classmethod
    def load(cls, dumped: bytes, certificate: bytes) -> "Pen":
        # Made by `create` and sealed since: to check it again took 20 ms of each round in which the store tells something.
        key = load_pem_private_key(dumped, password=None, unsafe_skip_rsa_key_validation=True)
        assert isinstance(key, RSAPrivateKey), "opting in made this key"
        return cls(key=key, certificate=certificate)


def new_key() -> RSAPrivateKey:
    return generate_private_key(65537, 2048)


def pem(key: RSAPrivateKey) -> str:
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()
