"""What a permission includes, where third parties may be sent back to, how often a key may ask."""

from datetime import UTC, datetime, timedelta

import pytest

from perennial import access
from perennial.access import rules
from perennial.access.model import PERMISSIONS, READ_ONLY, SCOPES, Code, OAuthClient, OAuthRefused
from perennial.api.limits import Limits, Usage
from perennial.base.errors import Invalid
from perennial.base.value import replace
from perennial.settings import RATE_LIMITS, Settings

NOW = datetime(2026, 1, 31, 12, tzinfo=UTC)
VERIFIER = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk"  # RFC 7636, appendix B
CHALLENGE = "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM"

CLIENT = OAuthClient(
    client_id="client_1",
    name="Reports",
    redirect_uris=("https://reports.example.com/back",),
    permissions=("charts_metrics:charts:read", "customer_information:customers:read_write"),
    created_at=NOW,
)
ASKED = {"response_type": "code", "code_challenge": CHALLENGE, "code_challenge_method": "S256", "state": "s"}


def test_read_write_includes_read_and_nothing_else():
    assert access.lacking(None, PERMISSIONS) is None
    assert access.lacking({"project_configuration:apps:read_write"}, ["project_configuration:apps:read"]) is None
    assert access.lacking({"project_configuration:apps:read"}, ["project_configuration:apps:read_write"]) == "project_configuration:apps:read_write"
    assert access.lacking(set(), ["project_configuration:apps:read"]) == "project_configuration:apps:read"
    assert access.lacking(READ_ONLY, PERMISSIONS) == PERMISSIONS[1]


def test_permissions_are_spelled_in_one_way():
    assert access.normalized(["charts_metrics:read", "charts_metrics:charts:read_write"]) == (
        "charts_metrics:charts:read_write",
        "charts_metrics:overview:read",
    )
    for wrong in ("charts_metrics", "charts_metrics:charts", "charts_metrics:charts:write", "money:coins:read", "", "charts_metrics:write"):
        with pytest.raises(Invalid, match="there is no permission"):
            access.normalized([wrong])


@pytest.mark.parametrize(
    "uri",
    ["https://a.example/back", "http://127.0.0.1:7777/back", "http://[::1]/", "http://localhost:1/", "com.example.app:/back"],
)
def test_people_may_be_sent_to_a_site_to_this_machine_or_to_an_app(uri: str):
    assert rules.check_redirect_uris([uri, uri]) == (uri,)


@pytest.mark.parametrize(
    "uri",
    [
        "http://a.example/back",
        "javascript:alert(1)",
        "data:text/html,x",
        "https://a.example/#part",
        "https://user@a.example/",
        "https:///back",
        "https://a.example/ back",
        "https://a.example/\n",
        "https://a.exämple/",
        "myapp:/back",
        "/back",
        "",
        "https://[::1",
    ],
)
def test_and_nowhere_else(uri: str):
    with pytest.raises(Invalid, match="redirect URI"):
        rules.check_redirect_uris([uri])


@pytest.mark.parametrize(
    "uri", [None, "", "https://reports.example.com/back/", "https://reports.example.com/Back", "https://reports.example.com/back?"]
)
def test_addresses_are_compared_letter_by_letter(uri: str | None):
    with pytest.raises(Invalid):
        rules.require_redirect_uri(CLIENT, uri)
    assert rules.require_redirect_uri(CLIENT, "https://reports.example.com/back") == "https://reports.example.com/back"


def test_what_is_asked_for_is_checked():
    whole = rules.authorization(CLIENT, CLIENT.redirect_uris[0], ASKED)
    assert (whole.permissions, whole.state, whole.challenge) == (CLIENT.permissions, "s", CHALLENGE)
    less = rules.authorization(CLIENT, CLIENT.redirect_uris[0], {**ASKED, "scope": "customer_information:customers:read"})
    assert less.permissions == ("customer_information:customers:read",)


@pytest.mark.parametrize(
    ("change", "error"),
    [
        ({"response_type": "token"}, "unsupported_response_type"),
        ({"code_challenge_method": "plain"}, "invalid_request"),
        ({"code_challenge": "short"}, "invalid_request"),
        ({"code_challenge": CHALLENGE + "="}, "invalid_request"),
        ({"state": "s" * 3000}, "invalid_request"),
        ({"scope": "charts_metrics:overview:read"}, "invalid_scope"),
        ({"scope": "charts_metrics:charts:read_write"}, "invalid_scope"),
        ({"scope": "project_configuration:api_keys:read_write"}, "invalid_scope"),
        ({"scope": "everything"}, "invalid_scope"),
    ],
)
def test_and_refused_in_the_words_of_the_standard(change: dict[str, str], error: str):
    with pytest.raises(OAuthRefused) as refused:
        rules.authorization(CLIENT, CLIENT.redirect_uris[0], ASKED | change)
    assert refused.value.error == error


def test_no_third_party_makes_keys():
    assert not any("api_keys" in scope for scope in SCOPES)


def test_the_challenge_is_the_standards_own_example():
    assert rules.challenge_of(VERIFIER) == CHALLENGE


def test_a_code_is_for_one_address_one_verifier_and_a_minute():
    code = Code(
        grant_id="grant_1",
        client_id="client_1",
        permissions=(),
        redirect_uri="https://reports.example.com/back",
        challenge=CHALLENGE,
        expires_at=NOW + timedelta(seconds=60),
        used_at=None,
        grant_revoked_at=None,
    )
    right = {"redirect_uri": code.redirect_uri, "verifier": VERIFIER, "now": NOW + timedelta(seconds=59)}
    rules.check_code(code, **right)
    for wrong in ({"redirect_uri": code.redirect_uri + "/"}, {"verifier": "x" * 43}, {"verifier": ""}, {"now": NOW + timedelta(seconds=60)}):
        with pytest.raises(OAuthRefused):
            rules.check_code(code, **(right | wrong))
    with pytest.raises(OAuthRefused):
        rules.check_code(replace(code, grant_revoked_at=NOW), **right)


def test_people_are_sent_back_with_what_was_already_in_the_address():
    assert rules.sent_back("https://a.example/back?x=1", code="c d", state=None) == "https://a.example/back?x=1&code=c+d"
    assert rules.sent_back("com.example.app:/back", error="access_denied", state="s&t") == "com.example.app:/back?error=access_denied&state=s%26t"


# How often --------------------------------------------------------------------------------------------------------------------


def test_a_key_may_ask_so_often_a_minute_in_each_domain():
    limits = Limits({"charts_metrics": 2})
    assert limits.count("key_1", "charts_metrics", NOW) == Usage(current=1, limit=2)
    assert limits.count("key_1", "charts_metrics", NOW + timedelta(seconds=20)) == Usage(current=2, limit=2)
    assert limits.count("key_1", "charts_metrics", NOW + timedelta(seconds=20.5)) == Usage(current=2, limit=2, wait=40)
    assert limits.count("key_2", "charts_metrics", NOW + timedelta(seconds=21)) == Usage(current=1, limit=2)
    assert limits.count("key_1", "customer_information", NOW) is None
    assert limits.count("key_1", "charts_metrics", NOW + timedelta(seconds=60)) == Usage(current=1, limit=2)


def test_the_limits_are_the_vendors_until_somebody_says_otherwise(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.delenv("PERENNIAL_RATE_LIMITS", raising=False)
    assert Settings.read().rate_limits == RATE_LIMITS
    monkeypatch.setenv("PERENNIAL_RATE_LIMITS", "off")
    assert Settings.read().rate_limits == {}
    monkeypatch.setenv("PERENNIAL_RATE_LIMITS", "charts_metrics=off, project_configuration=600")
    ours = {name: limit for name, limit in RATE_LIMITS.items() if name.startswith("v1_")}
    assert Settings.read().rate_limits == {"customer_information": 480, "project_configuration": 600, "virtual_currencies": 480, **ours}
    for wrong in ("charts=5", "charts_metrics=0", "charts_metrics", "none"):
        monkeypatch.setenv("PERENNIAL_RATE_LIMITS", wrong)
        with pytest.raises(Invalid, match="PERENNIAL_RATE_LIMITS"):
            Settings.read()
