"""What a Customer Center may be, who sees what of it, and who may write."""

from typing import Any

import msgspec
import pytest

from perennial.base.errors import Invalid
from perennial.customer_center import rules
from perennial.customer_center.model import DEFAULT, Config, SupportTickets


def offer(**ids: str) -> dict[str, Any]:
    return {"title": "Stay", "subtitle": "For less", "product_mapping": {"pro_monthly": "stay"}, **ids}


def config(*paths: dict[str, Any], **changes: Any) -> Config:
    screens = {
        "MANAGEMENT": {"type": "MANAGEMENT", "title": "Help", "paths": list(paths)},
        "NO_ACTIVE": {"type": "NO_ACTIVE", "title": "Nothing here"},
    }
    return msgspec.convert({"screens": screens, **changes}, Config)


def path(**more: Any) -> dict[str, Any]:
    return {"id": "one", "title": "One", "type": "CANCEL", **more}


def test_the_default_is_one_we_would_take():
    rules.check(DEFAULT)
    rules.check(msgspec.convert(msgspec.to_builtins(DEFAULT), Config))


@pytest.mark.parametrize(
    ("wrong", "param"),
    [
        (config(path(type="CUSTOM_URL")), "screens.MANAGEMENT.paths[0].url"),
        (config(path(type="CUSTOM_URL", url="nonsense")), "screens.MANAGEMENT.paths[0].url"),
        (config(path(type="CUSTOM_ACTION")), "screens.MANAGEMENT.paths[0].action_identifier"),
        (config(path(), path()), "screens.MANAGEMENT.paths[0].id"),
        (config(support={"email": "nonsense"}), "support.email"),
        (
            config(screens={"MANAGEMENT": {"type": "NO_ACTIVE", "title": "A"}, "NO_ACTIVE": {"type": "NO_ACTIVE", "title": "B"}}),
            "screens.MANAGEMENT.type",
        ),
        (
            config(
                screens={
                    "MANAGEMENT": {"type": "MANAGEMENT", "title": "A"},
                    "NO_ACTIVE": {"type": "NO_ACTIVE", "title": "B", "offering": {"type": "SPECIFIC"}},
                }
            ),
            "screens.NO_ACTIVE.offering.offering_id",
        ),
    ],
)
def test_what_would_not_work_is_refused_by_name(wrong: Config, param: str):
    with pytest.raises(Invalid) as refused:
        rules.check(wrong)
    assert refused.value.param == param


@pytest.mark.parametrize(
    "wrong",
    [
        {"screens": {"MANAGEMENT": {"type": "MANAGEMENT", "title": "A"}}},
        {"appearance": {"light": {"accent_color": "green"}}},
        {"screens": None},
    ],
)
def test_what_is_of_another_shape_is_refused(wrong: dict[str, Any]):
    with pytest.raises(msgspec.ValidationError):
        config(**wrong)


def test_an_offer_is_shown_where_its_store_is_and_to_whom_it_can_be_given():
    kept = config(
        path(id="both", promotional_offer=offer(ios_offer_id="i", android_offer_id="a")),
        path(id="ios", promotional_offer=offer(ios_offer_id="i")),
        path(
            id="asked",
            feedback_survey={"title": "Why?", "options": [{"id": "price", "title": "Price", "promotional_offer": offer(android_offer_id="a")}]},
        ),
    )

    def seen(platform: rules.Platform, *, has_subscribed: bool) -> list[Any]:
        paths = msgspec.to_builtins(rules.shown(kept, platform, has_subscribed=has_subscribed))["screens"]["MANAGEMENT"]["paths"]
        option = paths[2]["feedback_survey"]["options"][0]
        return [shown.get("promotional_offer", {}).get("eligible") for shown in (*paths[:2], option)]

    assert seen("apple", has_subscribed=True) == [True, True, None]
    assert seen("google", has_subscribed=True) == [True, None, True]
    assert seen("google", has_subscribed=False) == [False, None, False]


@pytest.mark.parametrize(
    ("writers", "active", "not_active"), [("all", True, True), ("active", True, False), ("not_active", False, True), ("none", False, False)]
)
def test_who_may_write_a_ticket(writers, active: bool, not_active: bool):
    tickets = SupportTickets(allow_creation=True, customer_type=writers)
    assert (rules.may_write(tickets, is_active=True), rules.may_write(tickets, is_active=False)) == (active, not_active)
    assert not rules.may_write(SupportTickets(customer_type=writers), is_active=True)
