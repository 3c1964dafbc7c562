"""Checking what the App Store signs, against the elliptic curve alone."""

from collections.abc import Callable

from cryptography.hazmat.primitives.asymmetric.ec import ECDSA
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature
from cryptography.hazmat.primitives.hashes import SHA256
from rich.progress import Progress

from bench.house import House
from bench.report import Figure, Rounds, paired
from bench.store import bought, unbase64
from perennial.base.time import perf_counter, wall_clock
from perennial.providers.apple import SigningAuthority, jws
from perennial.providers.apple.payload import Transaction
from perennial.providers.simulated.app_store import payloads

ROUNDS = 41
CALLS = 200  # short rounds, so that neighbours have the same weather


async def run(house: House, progress: Progress, customers: int) -> list[Figure]:
    now = wall_clock()
    pen = SigningAuthority.create(now)
    line = bought("app", 0, now)
    token = pen.sign(payloads.transaction_payload(line, line.charges[0], now) | {"bundleId": "com.example.bench"})
    roots = (pen.root_der,)
    ours, bare = _alternate(lambda: jws.verify(token, Transaction, roots=roots, now=now), bare_check(pen, token))
    return [
        Figure(
            name="jws.verify",
            value=ours.middle,
            unit="checks/s",
            ceiling="one bare ECDSA P-256 check of the same bytes",
            ceiling_value=bare.middle,
            measured_ratio=paired(ours, bare),
            target=">= 0.80",
            note=f"chain kept by its header, one thread; {ours.spread}",
        )
    ]


def bare_check(pen: SigningAuthority, token: str) -> Callable[[], None]:
    covered, _, signature = token.encode().rpartition(b".")
    raw = unbase64(signature)
    der = encode_dss_signature(int.from_bytes(raw[:32], "big"), int.from_bytes(raw[32:], "big"))
    key, algorithm = pen.key.public_key(), ECDSA(SHA256())
    return lambda: key.verify(der, covered, algorithm)


def rate(call: Callable[[], object], calls: int = CALLS) -> float:
    began = perf_counter()
    for _ in range(calls):
        call()
    return calls / (perf_counter() - began)


def _alternate(first: Callable[[], object], second: Callable[[], object]) -> tuple[Rounds, Rounds]:
    rate(first, 50), rate(second, 50)
    pairs = [(rate(first), rate(second)) for _ in range(ROUNDS)]
    return Rounds(values=tuple(pair[0] for pair in pairs)), Rounds(values=tuple(pair[1] for pair in pairs))
