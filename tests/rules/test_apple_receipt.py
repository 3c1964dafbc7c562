"""Legacy app receipts: who signed them, for which app, and what they state."""

import asyncio
import base64
from collections.abc import Callable, Iterable
from datetime import UTC, datetime, timedelta

import pytest
from asn1crypto import cms  # type: ignore[import-untyped]
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric.ec import ECDSA, SECP256R1, EllipticCurvePrivateKey, generate_private_key
from cryptography.hazmat.primitives.hashes import SHA256, SHA512, HashAlgorithm
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.hazmat.primitives.serialization.pkcs7 import PKCS7Options, PKCS7SignatureBuilder
from hypothesis import given, settings
from hypothesis import strategies as st

from perennial.base.errors import Invalid, NotConfigured
from perennial.base.ids import AppId, ProjectId
from perennial.base.reading import noting
from perennial.base.time import EPOCH
from perennial.base.value import replace
from perennial.customers.model import Download
from perennial.intake.model import Posted, Question, Reading, StoreApp, Untrusted
from perennial.providers.apple import AppStore
from perennial.providers.apple import receipt as apple_receipt
from perennial.providers.apple.receipt import Receipt, verified_receipt
from perennial.providers.apple.signer import SigningAuthority
from perennial.subscriptions.model import Purchase, Revocation, Statement

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
AUTHORITY = SigningAuthority.create(NOW)
ROOTS = (AUTHORITY.root_der,)
APP = StoreApp(project_id=ProjectId("proj_1"), app_id=AppId("app_1"), store="app_store", bundle_id="com.example.app", simulated_roots=ROOTS)
STORE = AppStore()

INTEGER, OCTETS, UTF8, IA5, SEQUENCE, SET = 0x02, 0x04, 0x0C, 0x16, 0x30, 0x31


def read_receipt(app: StoreApp, token: str, now: datetime) -> Reading:
    """Nobody is asked, so nothing is waited for."""
    return asyncio.run(STORE.read_receipt(app, Posted(token=token), now))


def der(tag: int, content: bytes) -> bytes:
    if len(content) < 0x80:
        return bytes((tag, len(content))) + content
    size = (len(content).bit_length() + 7) // 8
    return bytes((tag, 0x80 | size)) + len(content).to_bytes(size, "big") + content


def number(content: int) -> bytes:
    return der(INTEGER, content.to_bytes(content.bit_length() // 8 + 1, "big", signed=True))


def text(content: str) -> bytes:
    return der(UTF8, content.encode())


def date(content: str) -> bytes:
    return der(IA5, content.encode())


def attributes(pairs: Iterable[tuple[int, bytes]]) -> bytes:
    return der(SET, b"".join(der(SEQUENCE, number(kind) + number(1) + der(OCTETS, content)) for kind, content in pairs))


HEAD = {
    0: text("ProductionSandbox"),
    2: text("com.example.app"),
    3: text("42"),
    12: date("2026-03-01T11:59:00Z"),
    19: text("1.0"),
    4: b"\xf2\xbf opaque",
}
MONTH = {
    1701: number(1),
    1702: text("pro_monthly"),
    1703: text("1002"),
    1704: date("2026-02-20T12:00:00Z"),
    1705: text("1001"),
    1706: date("2026-01-20T12:00:00Z"),
    1708: date("2026-03-20T12:00:00Z"),
    1711: number(2_000_000_123_456),
    1712: date(""),
    1713: number(0),
    1719: number(0),
}
CREATED = datetime(2026, 3, 1, 11, 59, tzinfo=UTC)
PURCHASE = Purchase(
    transaction="1002",
    product="pro_monthly",
    kind="subscription",
    purchased_at=datetime(2026, 2, 20, 12, tzinfo=UTC),
    expires_at=datetime(2026, 3, 20, 12, tzinfo=UTC),
    as_of=CREATED,
    is_first=False,
    is_renewal=True,
    is_summary=True,
)


def content(*purchases: dict[int, bytes], **head: bytes | None) -> bytes:
    """A receipt's attributes; `a2=...` replaces attribute 2, None leaves it out."""
    whole = HEAD | {int(name[1:]): one for name, one in head.items() if one is not None}
    left = {kind: one for kind, one in whole.items() if f"a{kind}" not in head or head[f"a{kind}"] is not None}
    return attributes([*left.items(), *((17, attributes(one.items())) for one in purchases)])


def receipt(*purchases: dict[int, bytes], **head: bytes | None) -> str:
    return AUTHORITY.sign_receipt(content(*purchases, **head))


def without(attributes: dict[int, bytes], *kinds: int) -> dict[int, bytes]:
    return {kind: one for kind, one in attributes.items() if kind not in kinds}


def read(token: str, app: StoreApp = APP, now: datetime = NOW) -> Reading:
    return read_receipt(app, token, now)


def only_purchase(**changes: bytes | None) -> Purchase:
    whole = MONTH | {int(name[1:]): one for name, one in changes.items() if one is not None}
    left = without(whole, *(int(name[1:]) for name, one in changes.items() if one is None))
    (stated,) = read(receipt(left)).statements
    return stated.purchases[0]


# What it states


def test_a_receipt_states_its_purchases_by_line() -> None:
    first = without(MONTH, 1705) | {1703: text("1001"), 1704: date("2026-01-20T12:00:00Z"), 1708: date("2026-02-20T12:00:00Z"), 1713: number(1)}
    coins = without(MONTH, 1708) | {1702: text("coins"), 1703: text("3001"), 1705: text("3001"), 1701: number(5)}
    assert read(receipt(first, coins, MONTH)) == Reading(
        statements=(
            Statement(
                store="app_store",
                environment="sandbox",
                line="1001",
                purchases=(
                    replace(
                        PURCHASE,
                        transaction="1001",
                        purchased_at=datetime(2026, 1, 20, 12, tzinfo=UTC),
                        expires_at=datetime(2026, 2, 20, 12, tzinfo=UTC),
                        is_first=True,
                        is_renewal=False,
                        period_type="trial",
                    ),
                    PURCHASE,
                ),
                original_purchased_at=datetime(2026, 1, 20, 12, tzinfo=UTC),
            ),
            Statement(
                store="app_store",
                environment="sandbox",
                line="3001",
                purchases=(
                    replace(
                        PURCHASE,
                        transaction="3001",
                        product="coins",
                        kind="non_consumable",
                        expires_at=None,
                        is_first=True,
                        is_renewal=False,
                        quantity=5,
                    ),
                ),
                original_purchased_at=datetime(2026, 1, 20, 12, tzinfo=UTC),
            ),
        ),
        questions=(Question(environment="sandbox", subject="1001"), Question(environment="sandbox", subject="3001")),
    )


def test_the_head_of_a_receipt_is_read() -> None:
    assert verified_receipt(receipt(), roots=ROOTS, now=NOW) == Receipt(
        bundle_id="com.example.app", environment="sandbox", created_at=CREATED, app_version="42", original_app_version="1.0", purchases=()
    )


def test_a_receipt_says_which_version_was_downloaded_first_and_when() -> None:
    assert read(receipt(_18=date("2025-12-24T08:00:00Z"))).download == Download(version="1.0", at=datetime(2025, 12, 24, 8, tzinfo=UTC))
    for garbled in (text("yesterday"), b"\xf2\xbf opaque", b""):
        assert read(receipt(_18=garbled)).download is None


def test_a_receipt_without_purchases_says_so() -> None:
    assert read(receipt()) == Reading(note="the receipt holds no purchase")


@pytest.mark.parametrize(
    ("trial", "intro", "period_type"),
    [(0, 0, "normal"), (1, 0, "trial"), (0, 1, "intro"), (1, 1, "trial"), (None, None, "normal")],
)
def test_the_kind_of_period(trial: int | None, intro: int | None, period_type: str) -> None:
    said = {"a1713": None if trial is None else number(trial), "a1719": None if intro is None else number(intro)}
    assert only_purchase(**said).period_type == period_type


def test_a_cancelled_purchase_was_refunded() -> None:
    assert only_purchase(a1712=date("2026-02-25T08:00:00Z")).revocation == Revocation(at=datetime(2026, 2, 25, 8, tzinfo=UTC), refunded=True)
    assert only_purchase(a1712=date("")).revocation is None
    assert only_purchase(a1712=None).revocation is None


def test_moments_in_other_zones_are_the_same_moments() -> None:
    assert only_purchase(a1704=date("2026-02-20T13:00:00+01:00")).purchased_at == PURCHASE.purchased_at


def test_line_breaks_in_base64_are_as_good_as_none() -> None:
    token = receipt(MONTH)
    assert read("\r\n".join(token[start : start + 76] for start in range(0, len(token), 76))).statements[0].purchases == (PURCHASE,)


# Whose it is


def test_a_receipt_of_another_app_is_untrusted() -> None:
    with pytest.raises(Untrusted, match=r"of the app 'com\.other'"):
        read(receipt(MONTH, a2=text("com.other")))


@pytest.mark.parametrize("kind", ["Production", "ProductionVPP"])
def test_a_simulated_store_never_speaks_for_production(kind: str) -> None:
    with pytest.raises(Untrusted, match="only in the sandbox"):
        read(receipt(MONTH, a0=text(kind)))


@pytest.mark.parametrize("kind", ["Xcode", "sandbox", "Sandbox"])
def test_other_environments_are_untrusted(kind: str) -> None:
    with pytest.raises(Untrusted, match="environment"):
        read(receipt(MONTH, a0=text(kind)))


def test_a_volume_purchase_in_the_sandbox_is_of_the_sandbox() -> None:
    assert read(receipt(MONTH, a0=text("ProductionVPPSandbox"))).statements[0].environment == "sandbox"


@pytest.mark.parametrize("roots", [(), (SigningAuthority.create(NOW).root_der,)])
def test_a_receipt_by_an_unknown_root_is_untrusted(roots: tuple[bytes, ...]) -> None:
    with pytest.raises(Untrusted, match="do not lead to Apple Root CA"):
        read(receipt(MONTH), replace(APP, simulated_roots=roots))


def test_altered_content_is_untrusted() -> None:
    raw = base64.b64decode(receipt(MONTH))
    assert raw.count(b"pro_monthly") == 1
    with pytest.raises(Untrusted, match="does not fit the receipt"):
        read(base64.b64encode(raw.replace(b"pro_monthly", b"pro_yearly_")).decode())


def envelope(
    certificates: Iterable[x509.Certificate],
    *,
    leaf: x509.Certificate = AUTHORITY.leaf,
    key: EllipticCurvePrivateKey = AUTHORITY.key,
    digest: HashAlgorithm | None = None,
    options: Iterable[PKCS7Options] = (PKCS7Options.Binary,),
    inside: bytes | None = None,
) -> str:
    builder = PKCS7SignatureBuilder().set_data(content(MONTH) if inside is None else inside).add_signer(leaf, key, digest or SHA256())  # type: ignore[arg-type]
    for certificate in certificates:
        builder = builder.add_certificate(certificate)
    return base64.b64encode(builder.sign(Encoding.DER, list(options))).decode()


CHAIN = (AUTHORITY.intermediate, AUTHORITY.root)


def test_a_signature_over_signed_attributes_is_as_good() -> None:
    assert read(envelope(CHAIN)).statements[0].purchases == (PURCHASE,)


def test_signed_attributes_of_other_content_are_untrusted() -> None:
    raw = base64.b64decode(envelope(CHAIN))
    with pytest.raises(Untrusted, match="signed digest does not fit"):
        read(base64.b64encode(raw.replace(b"pro_monthly", b"pro_yearly_")).decode())


def test_the_root_need_not_be_carried_where_we_have_it() -> None:
    assert read(envelope([AUTHORITY.intermediate])).statements[0].purchases == (PURCHASE,)


@pytest.mark.parametrize(
    ("token", "complaint"),
    [
        (envelope([AUTHORITY.root]), "nothing in the receipt vouches for its signer"),
        (envelope([AUTHORITY.intermediate] * 8), "more certificates than"),
        (envelope(CHAIN, key=generate_private_key(SECP256R1())), "does not fit the receipt"),
        (envelope(CHAIN, digest=SHA512()), "digest the App Store does not use"),
        (envelope(CHAIN, leaf=AUTHORITY.intermediate), "intermediate certificate lacks Apple's mark"),
    ],
)
def test_another_signer_is_untrusted(token: str, complaint: str) -> None:
    with pytest.raises(Untrusted, match=complaint):
        read(token)


def changed(token: str, change: Callable[[cms.SignedData], None]) -> str:
    """The same envelope with something exchanged that no signature covers."""
    info = cms.ContentInfo.load(base64.b64decode(token))
    change(info["content"])
    return base64.b64encode(info.dump(force=True)).decode()


def test_the_signers_certificate_must_be_carried() -> None:
    def drop(signed: cms.SignedData) -> None:
        signed["certificates"] = [one for one in signed["certificates"] if one.chosen.dump() != AUTHORITY.leaf.public_bytes(Encoding.DER)]

    with pytest.raises(Untrusted, match="does not carry its signer's certificate"):
        read(changed(receipt(MONTH), drop))


def test_the_signer_is_named_by_issuer_and_serial_number() -> None:
    def rename(signed: cms.SignedData) -> None:
        key_identifier = x509.SubjectKeyIdentifier.from_public_key(AUTHORITY.key.public_key()).digest
        signed["signer_infos"][0]["sid"] = cms.SignerIdentifier(name="subject_key_identifier", value=key_identifier)

    with pytest.raises(Untrusted, match="does not carry its signer's certificate"):
        read(changed(receipt(MONTH), rename))


def test_the_signed_attributes_must_speak_of_data() -> None:
    def retype(signed: cms.SignedData) -> None:
        signer = signed["signer_infos"][0]
        for attribute in signer["signed_attrs"]:
            if attribute["type"].native == "content_type":
                attribute["values"] = ["signed_data"]
        covered = b"\x31" + signer["signed_attrs"].dump(force=True)[1:]
        signer["signature"] = AUTHORITY.key.sign(covered, ECDSA(SHA256()))

    with pytest.raises(Untrusted, match="signed digest does not fit"):
        read(changed(envelope(CHAIN), retype))


def test_an_envelope_holds_data_and_one_signature() -> None:
    options = [PKCS7Options.Binary, PKCS7Options.DetachedSignature]
    twice = PKCS7SignatureBuilder().set_data(content(MONTH))
    for _ in range(2):
        twice = twice.add_signer(AUTHORITY.leaf, AUTHORITY.key, SHA256())
    for token in (envelope(CHAIN, options=options), base64.b64encode(twice.sign(Encoding.DER, [PKCS7Options.Binary])).decode()):
        with pytest.raises(Invalid, match="must hold data and one signature"):
            read(token)


def test_production_is_believed_from_apple(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody else can sign for production, so here our pen's root stands where Apple's is pinned."""
    monkeypatch.setattr(apple_receipt, "APPLE_ROOT", AUTHORITY.root.fingerprint(SHA256()).hex())
    (stated,) = read(receipt(MONTH, a0=text("Production")), replace(APP, simulated_roots=())).statements
    assert (stated.environment, stated.purchases) == ("production", (PURCHASE,))


# When


def test_a_receipt_from_the_future_is_untrusted() -> None:
    soon, late = (date((NOW + timedelta(seconds=seconds)).strftime("%Y-%m-%dT%H:%M:%SZ")) for seconds in (300, 301))
    assert len(read(receipt(MONTH, a12=soon)).statements) == 1
    with pytest.raises(Untrusted, match="5 minutes in the future"):
        read(receipt(MONTH, a12=late))


def test_a_receipt_from_before_its_certificates_is_untrusted() -> None:
    with pytest.raises(Untrusted, match="certificates were not valid"):
        read(receipt(MONTH, a12=date("2024-01-01T00:00:00Z")))


def test_an_old_receipt_stays_readable() -> None:
    assert read(receipt(MONTH), now=NOW + timedelta(days=365 * 80)).statements[0].purchases == (PURCHASE,)


# What is none


@pytest.mark.parametrize(
    ("token", "complaint"),
    [
        ("", "not an app receipt"),
        ("hello world", "not base64"),
        ("AAAA", "not an app receipt"),
        ("A" * (2 * 1024 * 1024 + 4), "longer than the 2097152"),
        (base64.b64encode(b'{\n\t"signature" = "Ap";\n\t"purchase-info" = "ew";\n}').decode(), "as iOS 6 made them"),
        (base64.b64encode(b'{"transactions":[]}').decode(), "Xcode's local testing"),
        (base64.b64encode(der(SEQUENCE, b"\x06\x09\x2a\x86\x48\x86\xf7\x0d\x01\x07\x01")).decode(), "not signed"),
        (envelope(CHAIN, inside=b"hello"), "breaks off"),
        (envelope(CHAIN, inside=b""), "not one SET"),
        (envelope(CHAIN, inside=der(SEQUENCE, content(MONTH)[4:])), "not one SET"),
        (envelope(CHAIN, inside=content(MONTH) * 2), "not one SET"),
        (envelope(CHAIN, inside=der(SET, number(1))), "a type, a version and a value"),
        (envelope(CHAIN, inside=der(SET, der(SEQUENCE, number(1)))), "a type, a version and a value"),
        (envelope(CHAIN, inside=b"\x31\x84\xff\xff\xff\xff"), "breaks off"),
        (envelope(CHAIN, inside=b"\x31\x80\x00\x00"), "impossible length"),
        (receipt(a0=None), "lacks its receipt type"),
        (receipt(a2=None), "lacks its bundle id"),
        (receipt(a2=text("")), "lacks its bundle id"),
        (receipt(a12=None), "lacks its creation date"),
        (receipt(a12=date("yesterday")), "is not a moment"),
        (receipt(a2=number(7)), "text that is not text"),
        (receipt(a2=text("a\0b")), "text that is not text"),
        (receipt(a2=der(UTF8, b"\xff\xfe")), "text that is not text"),
        (receipt(without(MONTH, 1703)), "lacks its transaction id"),
        (receipt(without(MONTH, 1702)), "lacks its product id"),
        (receipt(without(MONTH, 1704)), "lacks its purchase date"),
    ],
)
def test_what_is_no_app_receipt_is_invalid_and_names_the_token(token: str, complaint: str) -> None:
    with pytest.raises(Invalid, match=complaint) as caught:
        read(token)
    assert not isinstance(caught.value, Untrusted)
    assert caught.value.param == "fetch_token"
    assert caught.value.message.startswith("fetch_token: ")


@pytest.mark.parametrize(
    ("purchase", "noted", "stated"),
    [
        (MONTH | {1701: text("1")}, ["in_app.1701"], {"quantity": 1}),
        (MONTH | {1713: b""}, ["in_app.1713"], {"period_type": "normal"}),
        (MONTH | {1701: der(INTEGER, b"")}, ["in_app.1701"], {"quantity": 1}),
        (MONTH | {1701: der(INTEGER, b"\1" * 9)}, ["in_app.1701"], {"quantity": 1}),
        (MONTH | {1701: number(2**31)}, ["quantity"], {"quantity": 1}),
        (MONTH | {1708: date("0001-01-01T00:00:00+14:00")}, [], {"expires_at": EPOCH}),
        (MONTH | {1708: date("9999-12-31T23:59:59-14:00")}, [], {"expires_at": datetime(9000, 1, 1, tzinfo=UTC)}),
        (MONTH | {1708: date("2026-04-01T00:00:00")}, [], {"expires_at": datetime(2026, 4, 1, tzinfo=UTC)}),
    ],
)
def test_what_is_out_of_range_is_left_aside_and_the_rest_is_recorded(purchase: dict[int, bytes], noted: list[str], stated: dict[str, object]) -> None:
    with noting() as unread:
        [said] = read(receipt(purchase)).statements[0].purchases
    assert [one.field for one in unread] == noted
    assert {name: getattr(said, name) for name in stated} == stated


def test_a_purchase_that_cannot_be_read_does_not_take_the_others_with_it() -> None:
    with noting() as unread:
        reading = read(receipt(MONTH, without(MONTH, 1704)))
    assert [one.purchases for one in reading.statements] == [(PURCHASE,)]
    assert [one.field for one in unread] == ["in_app"]


def test_an_app_without_a_bundle_id_cannot_read() -> None:
    with pytest.raises(NotConfigured) as caught:
        read(receipt(MONTH), replace(APP, bundle_id=None))
    assert caught.value.param == "bundle_id"


# Whatever comes

RAW = base64.b64decode(receipt(MONTH))


def refused_or_unchanged(raw: bytes) -> None:
    """A flipped bit in what no signature covers (a certificate we do not need) may pass; what is stated may not change."""
    try:
        reading = read(base64.b64encode(raw).decode())
    except Invalid:
        return
    assert reading.statements[0].purchases == (PURCHASE,)


@settings(deadline=None)
@given(st.binary())
def test_any_bytes_are_refused_cleanly(raw: bytes) -> None:
    with pytest.raises(Invalid):
        read(base64.b64encode(raw).decode())


@settings(deadline=None)
@given(st.binary())
def test_any_signed_content_is_refused_cleanly(inside: bytes) -> None:
    with pytest.raises(Invalid):
        read(AUTHORITY.sign_receipt(inside))


@settings(deadline=None)
@given(st.dictionaries(st.sampled_from(sorted(MONTH)), st.binary(max_size=12), min_size=1, max_size=3))
def test_any_signed_attribute_is_read_or_refused_cleanly(changes: dict[int, bytes]) -> None:
    token = receipt(MONTH | changes)
    try:
        reading = read(token)
    except Invalid:
        return
    assert len(reading.statements) == 1


@settings(deadline=None)
@given(length=st.integers(0, len(RAW) - 1))
def test_a_receipt_cut_short_is_refused_cleanly(length: int) -> None:
    with pytest.raises(Invalid):
        read(base64.b64encode(RAW[:length]).decode())


@settings(deadline=None, max_examples=400)
@given(position=st.integers(0, len(RAW) - 1), bit=st.integers(0, 7))
def test_a_bit_flipped_in_a_receipt_changes_nothing_that_is_stated(position: int, bit: int) -> None:
    raw = bytearray(RAW)
    raw[position] ^= 1 << bit
    refused_or_unchanged(bytes(raw))
