"""Who may speak for the App Store: every way a signed message can be wrong is refused, and nothing else is."""

import base64
import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import pytest
from appstoreserverlibrary.models.Environment import Environment as ApplesEnvironment
from appstoreserverlibrary.signed_data_verifier import SignedDataVerifier, VerificationException
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.asymmetric.ec import ECDSA, SECP256R1, SECP384R1, EllipticCurvePrivateKey, generate_private_key
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature
from cryptography.hazmat.primitives.hashes import SHA224, SHA256
from cryptography.hazmat.primitives.serialization import Encoding
from hypothesis import example, given, settings
from hypothesis import strategies as st

from perennial.base.errors import Invalid
from perennial.base.reading import noting
from perennial.base.time import to_ms
from perennial.intake.model import Untrusted
from perennial.providers.apple import jws
from perennial.providers.apple.certificates import INTERMEDIATE_MARK, LEAF_MARK
from perennial.providers.apple.payload import Transaction
from perennial.providers.apple.signer import SigningAuthority

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
AUTHORITY = SigningAuthority.create(NOW)
ROOTS = (AUTHORITY.root_der,)
PAYLOAD: dict[str, object] = {
    "environment": "Sandbox",
    "bundleId": "com.example.app",
    "transactionId": "1002",
    "originalTransactionId": "1001",
    "signedDate": to_ms(NOW),
}


@pytest.fixture(autouse=True)
def no_chain_is_known() -> Iterator[None]:
    jws._chains.clear()
    yield
    jws._chains.clear()


def verify(token: str, *, roots: tuple[bytes, ...] = ROOTS, now: datetime = NOW) -> Transaction:
    return jws.verify(token, Transaction, roots=roots, now=now)


def signed(**changes: object) -> str:
    return AUTHORITY.sign({key: said for key, said in (PAYLOAD | changes).items() if said is not None})


def segment(content: object) -> str:
    return base64.urlsafe_b64encode(json.dumps(content).encode()).rstrip(b"=").decode()


def with_header(token: str, **changes: object) -> str:
    header, *rest = token.split(".")
    said = json.loads(base64.urlsafe_b64decode(header + "=="))
    return ".".join([segment({key: one for key, one in (said | changes).items() if one is not None}), *rest])


def signed_with_header(**changes: object) -> str:
    """Properly signed, header included: only the header's content can be at fault."""
    header = json.loads(base64.urlsafe_b64decode(signed().split(".")[0] + "=="))
    return jws.sign({key: one for key, one in (header | changes).items() if one is not None}, PAYLOAD, AUTHORITY.key)


def x5c() -> list[str]:
    chain = (AUTHORITY.leaf, AUTHORITY.intermediate, AUTHORITY.root)
    return [base64.b64encode(one.public_bytes(Encoding.DER)).decode() for one in chain]


# What is accepted


def test_a_signed_message_is_read_as_it_was_written() -> None:
    content = verify(signed())
    assert (content.transaction_id, content.original_transaction_id, content.bundle_id) == ("1002", "1001", "com.example.app")
    assert content.signed_ms == 1772366400000


def test_the_same_message_is_verified_again_with_the_chain_that_is_known() -> None:
    token = signed()
    assert len(jws._chains) == 0
    assert verify(token) == verify(token)
    assert len(jws._chains) == 1


def test_a_known_chain_is_not_checked_again(monkeypatch: pytest.MonkeyPatch) -> None:
    verify(signed())

    def refuse(x5c: list[str], *, roots: tuple[bytes, ...]) -> jws.Chain:
        raise AssertionError("the chain is known")

    monkeypatch.setattr(jws, "verify_chain", refuse)
    assert verify(signed(transactionId="1003")).transaction_id == "1003"


def test_the_chain_used_longest_ago_is_forgotten_first() -> None:
    tokens = [signed_with_header(kid=str(number)) for number in range(jws.CHAINS_KEPT + 1)]
    for token in (*tokens[:-1], tokens[0], tokens[-1]):
        verify(token)
    headers = [token.split(".")[0].encode() for token in tokens]
    assert [number for number, header in enumerate(headers) if jws._chains.get(header, ROOTS) is None] == [1]


def test_numbers_may_have_fractions() -> None:
    assert verify(signed(signedDate=to_ms(NOW) + 0.25)).signed_ms == 1772366400000.25


def test_fields_we_do_not_know_are_skipped() -> None:
    assert verify(signed(somethingNew={"deep": [1, 2]})).transaction_id == "1002"


def test_a_late_message_stays_verifiable_after_its_certificates_ran_out() -> None:
    assert verify(signed(), now=NOW + timedelta(days=365 * 100)).transaction_id == "1002"


def test_a_sandbox_clock_may_run_forty_nine_years_ahead_but_not_fifty_one() -> None:
    soon, late = (NOW + timedelta(days=365 * years) for years in (49, 51))
    assert verify(signed(signedDate=to_ms(soon)), now=soon).transaction_id == "1002"
    with pytest.raises(Untrusted, match="certificates were not valid"):
        verify(signed(signedDate=to_ms(late)), now=late)


# The moment


@pytest.mark.parametrize("is_chain_known", [False, True])
def test_the_signing_moment_must_lie_within_the_certificates_validity_to_the_second(is_chain_known: bool) -> None:
    begin, end = AUTHORITY.leaf.not_valid_before_utc, AUTHORITY.leaf.not_valid_after_utc
    if is_chain_known:
        verify(signed())
    assert verify(signed(signedDate=to_ms(begin)), now=end).transaction_id == "1002"
    assert verify(signed(signedDate=to_ms(end)), now=end).transaction_id == "1002"
    for outside in (to_ms(begin) - 1, to_ms(end) + 1):
        with pytest.raises(Untrusted, match="certificates were not valid"):
            verify(signed(signedDate=outside), now=end)


def test_five_minutes_of_clock_difference_are_forgiven_and_no_more() -> None:
    assert verify(signed(signedDate=to_ms(NOW) + 300_000)).transaction_id == "1002"
    with pytest.raises(Untrusted, match="5 minutes in the future"):
        verify(signed(signedDate=to_ms(NOW) + 300_001))


def test_a_message_that_does_not_say_when_it_was_signed_is_refused() -> None:
    with pytest.raises(Untrusted, match="signedDate"):
        verify(signed(signedDate=None))


# Whose word it is


def test_a_simulated_store_is_believed_only_where_it_was_named() -> None:
    token = signed()
    assert verify(token).transaction_id == "1002"
    for roots in ((), (SigningAuthority.create(NOW).root_der,)):  # the known chain was judged by other roots
        with pytest.raises(Untrusted, match="do not lead to Apple Root CA - G3"):
            verify(token, roots=roots)


@pytest.mark.parametrize("environment", ["Production", "Xcode", "LocalTesting", "sandbox", None])
@pytest.mark.parametrize("is_chain_known", [False, True])
def test_a_simulated_store_speaks_for_the_sandbox_only(environment: str | None, is_chain_known: bool) -> None:
    if is_chain_known:
        verify(signed())
    with pytest.raises(Untrusted, match="only for the Sandbox"):
        verify(signed(environment=environment))


def test_the_root_in_the_header_is_ignored_where_it_is_not_apples() -> None:
    assert verify(signed_with_header(x5c=[*x5c()[:2], x5c()[0]])).transaction_id == "1002"


@pytest.mark.parametrize("algorithm", ["none", "HS256", "ES384", "es256", ""])
def test_no_other_algorithm_is_accepted(algorithm: str) -> None:
    with pytest.raises(Untrusted, match="ES256 only"):
        verify(signed_with_header(alg=algorithm))


@pytest.mark.parametrize("count", [0, 1, 2, 4])
def test_there_must_be_exactly_three_certificates(count: int) -> None:
    with pytest.raises(Untrusted, match=f"carries {count} certificates"):
        verify(signed_with_header(x5c=(x5c() * 2)[:count]))


@pytest.mark.parametrize(
    ("changes", "complaint"),
    [
        ({"crit": ["exp"]}, "critical extensions"),
        ({"x5c": ["", "", ""]}, "certificates cannot be read"),
        ({"x5c": ["%%%%"] * 3}, "certificates cannot be read"),
        ({"x5c": ["A" * 20_000] * 3}, "longer than any of Apple's"),
        ({"x5c": list(reversed(x5c()))}, "leaf certificate is not signed by"),
        ({"x5c": None}, "header cannot be read"),
        ({"x5c": "MII"}, "header cannot be read"),
        ({"x5c": [1, 2, 3]}, "header cannot be read"),
        ({"alg": None}, "header cannot be read"),
    ],
)
def test_a_header_of_another_shape_is_refused(changes: dict[str, object], complaint: str) -> None:
    with pytest.raises(Invalid, match=complaint):
        verify(signed_with_header(**changes))


# What was altered


def test_another_payload_under_the_same_signature_is_refused() -> None:
    header, _, signature = signed().split(".")
    with pytest.raises(Untrusted, match="altered"):
        verify(f"{header}.{segment(PAYLOAD | {'transactionId': '1003'})}.{signature}")


def test_another_header_over_the_same_signature_is_refused() -> None:
    with pytest.raises(Untrusted, match="altered"):
        verify(with_header(signed(), kid="another"))


def test_a_signature_by_another_key_is_refused() -> None:
    header = json.loads(base64.urlsafe_b64decode(signed().split(".")[0] + "=="))
    with pytest.raises(Untrusted, match="altered, or signed with another key"):
        verify(jws.sign(header, PAYLOAD, generate_private_key(SECP256R1())))


def test_a_signature_in_another_form_is_refused() -> None:
    header, payload, _ = signed().split(".")
    der = AUTHORITY.key.sign(f"{header}.{payload}".encode(), ECDSA(SHA256()))
    with pytest.raises(Untrusted, match="has 64 bytes"):
        verify(f"{header}.{payload}.{base64.urlsafe_b64encode(der).rstrip(b'=').decode()}")


@pytest.mark.parametrize("signature", ["A" * 86, "_" * 85 + "w"])
def test_a_signature_of_extreme_numbers_is_refused(signature: str) -> None:
    with pytest.raises(Untrusted, match="altered"):
        verify(signed().rsplit(".", 1)[0] + "." + signature)


def test_forged_signatures_do_not_push_known_chains_out() -> None:
    verify(signed())
    for number in range(3):
        with pytest.raises(Untrusted):
            verify(with_header(signed(), kid=str(number)))
    assert len(jws._chains) == 1


def test_the_known_chains_are_bounded() -> None:
    for number in range(jws.CHAINS_KEPT + 5):
        verify(signed_with_header(kid=str(number)))
    assert len(jws._chains) == jws.CHAINS_KEPT == 256


# What is no JWS at all


@pytest.mark.parametrize(
    ("token", "complaint"),
    [
        ("", "three base64url parts"),
        ("a.b", "three base64url parts"),
        ("a.b.c.d", "three base64url parts"),
        ("é.b.c", "three base64url parts"),
        ("..", "header cannot be read"),
        ("a.b.c", "not base64url"),
        ("e30.e30.e30", "header cannot be read"),
        ("+/+/.e30.e30", "not base64url"),
        ("W1td.e30.e30", "header cannot be read"),
        ("A" * (256 * 1024 + 1), "longer than the 262144"),
    ],
)
def test_what_is_no_jws_is_invalid(token: str, complaint: str) -> None:
    with pytest.raises(Invalid, match=complaint) as caught:
        verify(token)
    assert not isinstance(caught.value, Untrusted)


def test_a_header_nested_without_end_is_invalid() -> None:
    deep = base64.urlsafe_b64encode(b'{"alg":' + b"[" * 100_000 + b"]" * 100_000 + b"}").rstrip(b"=").decode()
    with pytest.raises(Invalid):
        verify(f"{deep}.e30.e30"[: 256 * 1024])


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"storefrontId": {"id": 143441}}, "storefrontId"),
        ({"isUpgraded": "yes"}, "isUpgraded"),
        ({"commitmentInfo": {"totalBillingPeriods": "a dozen"}}, "commitmentInfo.totalBillingPeriods"),
        ({"webOrderLineItemId": "\x00"}, "webOrderLineItemId"),
        ({"transactionId": "9" * 9000}, "transactionId"),
    ],
)
def test_a_field_of_another_type_is_left_aside_and_named(changes: dict[str, object], field: str) -> None:
    with noting() as noted:
        said = verify(signed(**changes))
    assert [one.field for one in noted] == [field]
    assert said.original_transaction_id == "1001"


def test_a_number_where_a_text_should_be_is_read() -> None:
    assert verify(signed(transactionId=7)).transaction_id == "7"


def test_a_moment_of_signing_that_is_none_judges_no_certificate() -> None:
    with pytest.raises(Untrusted, match="signedDate"):
        verify(signed(signedDate="today"))


def test_a_signed_payload_that_is_no_json_names_no_field() -> None:
    covered = ".".join((signed().split(".")[0], segment({})[:2] + "x"))
    r, s = decode_dss_signature(AUTHORITY.key.sign(covered.encode(), ECDSA(SHA256())))
    signature = base64.urlsafe_b64encode(r.to_bytes(32, "big") + s.to_bytes(32, "big")).rstrip(b"=").decode()
    with pytest.raises(Invalid, match="this is no JSON") as caught:
        verify(f"{covered}.{signature}")
    assert caught.value.param is None


def test_a_text_with_a_nul_character_is_left_aside() -> None:
    assert verify(signed(productId="pro\0")).product_id is None


# Certificates that must not do


def names() -> tuple[x509.Name, x509.Name, x509.Name]:
    root, intermediate, leaf = (x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, one)]) for one in ("R", "I", "L"))
    return root, intermediate, leaf


def usage(*, signs_data: bool = False, signs_certificates: bool = False) -> x509.KeyUsage:
    no = dict.fromkeys(("content_commitment", "key_encipherment", "data_encipherment", "key_agreement", "encipher_only", "decipher_only"), False)
    return x509.KeyUsage(digital_signature=signs_data, key_cert_sign=signs_certificates, crl_sign=False, **no)


def mark(oid: x509.ObjectIdentifier) -> x509.UnrecognizedExtension:
    return x509.UnrecognizedExtension(oid, b"\x05\x00")


CA, DEEP_CA, FLAT_CA, NO_CA = (x509.BasicConstraints(ca=ca, path_length=path) for ca, path in ((True, 0), (True, None), (True, 0), (False, None)))
GOOD: dict[str, list[x509.ExtensionType]] = {
    "root": [DEEP_CA, usage(signs_certificates=True)],
    "intermediate": [CA, usage(signs_certificates=True), mark(INTERMEDIATE_MARK)],
    "leaf": [NO_CA, usage(signs_data=True), mark(LEAF_MARK)],
}
Key = EllipticCurvePrivateKey | rsa.RSAPrivateKey
RSA_ROOTS = {"RSA": rsa.generate_private_key(65537, 2048), "short RSA": rsa.generate_private_key(65537, 1024)}
STRANGE_OID = x509.ObjectIdentifier("1.2.3.4.5")


def chain_token(extensions: dict[str, list[x509.ExtensionType]], *, flaw: str = "") -> tuple[str, bytes]:
    """A message signed by a chain with these extensions and one other flaw, and its root."""
    intermediate_key, other_key = (generate_private_key(SECP256R1()) for _ in range(2))
    root_key = RSA_ROOTS[flaw] if flaw in RSA_ROOTS else generate_private_key(SECP256R1())
    leaf_key = RSA_ROOTS["RSA"] if flaw == "RSA leaf" else generate_private_key(SECP384R1() if flaw == "another curve" else SECP256R1())
    root_name, intermediate_name, leaf_name = names()

    def issue(part: str, subject: x509.Name, issuer: x509.Name, key: Key, by: Key) -> x509.Certificate:
        begin = NOW + timedelta(days=1) if flaw == f"{part} not yet valid" else NOW - timedelta(days=1)
        end = NOW - timedelta(hours=1) if flaw == f"{part} ran out" else NOW + timedelta(days=2)
        builder = x509.CertificateBuilder().subject_name(subject).issuer_name(issuer).public_key(key.public_key()).serial_number(7)
        builder = builder.not_valid_before(begin).not_valid_after(end)
        for extension in extensions[part]:
            builder = builder.add_extension(extension, critical=extension.oid == STRANGE_OID)
        return builder.sign(by, SHA224() if flaw == f"{part} with an unsafe hash" else SHA256())

    root = issue("root", root_name, root_name, root_key, root_key)
    intermediate = issue("intermediate", intermediate_name, root_name, intermediate_key, other_key if flaw == "intermediate by another" else root_key)
    issuer_name = leaf_name if flaw == "leaf names another issuer" else intermediate_name
    leaf = issue("leaf", leaf_name, issuer_name, leaf_key, other_key if flaw == "leaf by another" else intermediate_key)
    header = {"alg": "ES256", "x5c": [base64.b64encode(one.public_bytes(Encoding.DER)).decode() for one in (leaf, intermediate, root)]}
    key = leaf_key if isinstance(leaf_key, EllipticCurvePrivateKey) and flaw != "another curve" else other_key
    return jws.sign(header, PAYLOAD, key), root.public_bytes(Encoding.DER)


def test_a_chain_with_all_it_needs_is_accepted() -> None:
    token, root = chain_token(GOOD)
    assert verify(token, roots=(root,)).transaction_id == "1002"


def test_a_root_may_have_an_rsa_key() -> None:
    token, root = chain_token(GOOD, flaw="RSA")
    assert verify(token, roots=(root,)).transaction_id == "1002"


def test_key_usage_is_judged_only_where_it_is_present() -> None:
    token, root = chain_token({"root": [DEEP_CA], "intermediate": [CA, mark(INTERMEDIATE_MARK)], "leaf": [mark(LEAF_MARK)]})
    assert verify(token, roots=(root,)).transaction_id == "1002"


@pytest.mark.parametrize(
    ("part", "extensions", "complaint"),
    [
        ("root", [], "root certificate is not an authority"),
        ("root", [FLAT_CA], "root certificate does not allow a chain of this length"),
        ("root", [DEEP_CA, usage(signs_data=True)], "root certificate may not sign certificates"),
        ("intermediate", [mark(INTERMEDIATE_MARK)], "intermediate certificate is not an authority"),
        ("intermediate", [NO_CA, mark(INTERMEDIATE_MARK)], "intermediate certificate is not an authority"),
        ("intermediate", [CA, usage(signs_data=True), mark(INTERMEDIATE_MARK)], "intermediate certificate may not sign certificates"),
        ("intermediate", [CA], "intermediate certificate lacks Apple's mark 1.2.840.113635.100.6.2.1"),
        ("intermediate", [CA, mark(INTERMEDIATE_MARK), mark(STRANGE_OID)], "intermediate certificate has a critical extension"),
        ("leaf", [NO_CA], "leaf certificate lacks Apple's mark 1.2.840.113635.100.6.11.1"),
        ("leaf", [NO_CA, mark(INTERMEDIATE_MARK)], "leaf certificate lacks Apple's mark"),
        ("leaf", [CA, mark(LEAF_MARK)], "leaf certificate is an authority"),
        ("leaf", [usage(signs_certificates=True), mark(LEAF_MARK)], "leaf certificate may not sign data"),
        ("leaf", [mark(LEAF_MARK), mark(STRANGE_OID)], "leaf certificate has a critical extension"),
    ],
)
def test_a_certificate_without_its_right_is_refused(part: str, extensions: list[x509.ExtensionType], complaint: str) -> None:
    token, root = chain_token(GOOD | {part: extensions})
    with pytest.raises(Untrusted, match=complaint):
        verify(token, roots=(root,))


@pytest.mark.parametrize(
    ("flaw", "complaint"),
    [
        ("intermediate by another", "do not lead to Apple Root CA"),
        ("leaf by another", "leaf certificate is not signed by the certificate above it"),
        ("leaf names another issuer", "leaf certificate is not signed by the certificate above it"),
        ("leaf with an unsafe hash", "leaf certificate is signed with a hash that is not safe"),
        ("intermediate with an unsafe hash", "intermediate certificate is signed with a hash that is not safe"),
        ("another curve", "not on the curve P-256"),
        ("RSA leaf", "not on the curve P-256"),
        ("short RSA", "do not lead to Apple Root CA"),
        *[(f"{part} {when}", "certificates were not valid") for part in ("root", "intermediate", "leaf") for when in ("not yet valid", "ran out")],
    ],
)
def test_a_broken_link_is_refused(flaw: str, complaint: str) -> None:
    token, root = chain_token(GOOD, flaw=flaw)
    with pytest.raises(Untrusted, match=complaint):
        verify(token, roots=(root,))


# The pen


def test_an_authority_comes_back_from_its_dump_and_signs_as_before() -> None:
    again = SigningAuthority.load(AUTHORITY.dump())
    assert again.root_der == AUTHORITY.root_der
    assert verify(again.sign(PAYLOAD)).transaction_id == "1002"
    assert len(jws._chains) == 1


@pytest.mark.parametrize("dumped", [b"", b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n", AUTHORITY.dump()[:2000]])
def test_what_is_no_dump_is_not_loaded(dumped: bytes) -> None:
    with pytest.raises(Invalid, match="not a dumped signing authority"):
        SigningAuthority.load(dumped)


def test_a_dump_with_anothers_key_is_not_loaded() -> None:
    begin = b"-----BEGIN PRIVATE KEY-----"
    certificates, other_key = AUTHORITY.dump().split(begin)[0], SigningAuthority.create(NOW).dump().split(begin)[1]
    with pytest.raises(Invalid, match="private key is not the first certificate's"):
        SigningAuthority.load(certificates + begin + other_key)


# Apple's own library as the judge


def apples_verdict(token: str) -> str | None:
    verifier = SignedDataVerifier([AUTHORITY.root_der], False, ApplesEnvironment.SANDBOX, "com.example.app")
    try:
        return verifier.verify_and_decode_signed_transaction(token).transactionId
    except VerificationException:
        return None


def our_verdict(token: str) -> str | None:
    try:
        return verify(token).transaction_id
    except Invalid:
        return None


def test_apples_library_accepts_what_our_pen_writes() -> None:
    assert apples_verdict(signed()) == our_verdict(signed()) == "1002"


@settings(max_examples=60, deadline=None)
@given(position=st.integers(min_value=0), letter=st.sampled_from("AZaz09-_.=+"))
def test_we_and_apples_library_agree_about_altered_messages(position: int, letter: str) -> None:
    token = MESSAGE
    position %= len(token) - 1  # the last letter of a signature has bits without a meaning
    altered = token[:position] + letter + token[position + 1 :]
    assert our_verdict(altered) == apples_verdict(altered) == ("1002" if altered == token else None)


# Whatever comes


MESSAGE = AUTHORITY.sign(PAYLOAD)


def refused_or_unchanged(token: str) -> None:
    """Nothing but our own refusals may come out, and nothing that was not signed may go through."""
    try:
        content = verify(token)
    except Invalid:
        return
    assert content == verify(MESSAGE)


@settings(deadline=None)
@given(st.text())
@example("\ud800.a.b")
def test_any_text_is_refused_cleanly(text: str) -> None:
    with pytest.raises(Invalid):
        verify(text)


@settings(deadline=None)
@given(header=st.binary(), payload=st.binary(), signature=st.binary())
def test_any_three_parts_are_refused_cleanly(header: bytes, payload: bytes, signature: bytes) -> None:
    with pytest.raises(Invalid):
        verify(".".join(base64.urlsafe_b64encode(part).rstrip(b"=").decode() for part in (header, payload, signature)))


@settings(deadline=None)
@given(st.lists(st.binary(max_size=200), min_size=3, max_size=3))
def test_any_certificates_are_refused_cleanly(certificates: list[bytes]) -> None:
    with pytest.raises(Untrusted):
        verify(signed_with_header(x5c=[base64.b64encode(one).decode() for one in certificates]))


def test_a_certificate_whose_signature_has_unused_bits_is_refused() -> None:
    """The one place of a certificate that nothing vouches for, and that readers let pass where the last bits are zero."""
    pen = next(pen for pen in iter(lambda: SigningAuthority.create(NOW), None) if pen.leaf.signature[-1] % 2 == 0)
    leaf, *others = (bytearray(one.public_bytes(Encoding.DER)) for one in (pen.leaf, pen.intermediate, pen.root))
    roots = (pen.root_der,)
    jws.verify_chain([base64.b64encode(one).decode() for one in (leaf, *others)], roots=roots)
    leaf[-len(pen.leaf.signature) - 1] = 1
    with pytest.raises(Untrusted):
        jws.verify_chain([base64.b64encode(one).decode() for one in (leaf, *others)], roots=roots)


@settings(deadline=None)
@given(which=st.integers(0, 1), position=st.integers(min_value=0), bit=st.integers(0, 7))
def test_any_bit_flipped_in_a_certificate_is_refused_cleanly(which: int, position: int, bit: int) -> None:
    chain = [bytearray(base64.b64decode(one)) for one in x5c()]
    chain[which][position % len(chain[which])] ^= 1 << bit
    with pytest.raises(Untrusted):
        verify(signed_with_header(x5c=[base64.b64encode(one).decode() for one in chain]))


@settings(deadline=None)
@given(length=st.integers(0, len(MESSAGE) - 1))
def test_a_message_cut_short_is_refused_cleanly(length: int) -> None:
    refused_or_unchanged(MESSAGE[:length])


@settings(deadline=None, max_examples=300)
@given(position=st.integers(0, len(MESSAGE) - 1), bit=st.integers(0, 6))
def test_a_bit_flipped_in_a_message_is_refused_cleanly(position: int, bit: int) -> None:
    letters = bytearray(MESSAGE.encode())
    letters[position] ^= 1 << bit
    refused_or_unchanged(letters.decode())
