"""What a Customer Center may be, who sees what of it, and who may write a ticket."""

from typing import Literal

from msgspec import UNSET, UnsetType
from msgspec.structs import replace

from perennial.base.errors import Invalid
from perennial.customer_center.model import LONGEST_DESCRIPTION, Config, FeedbackSurvey, HelpPath, PromotionalOffer, Screen, SupportTickets

Platform = Literal["apple", "google"]


def check(config: Config) -> None:
    """What the types alone do not say. `Invalid` names the field."""
    for name, screen in (("MANAGEMENT", config.screens.MANAGEMENT), ("NO_ACTIVE", config.screens.NO_ACTIVE)):
        _check_screen(name, screen)
    if config.support.email and not is_email(config.support.email):
        raise Invalid("support.email is not an e-mail address", param="support.email")


def _check_screen(name: str, screen: Screen) -> None:
    where = f"screens.{name}"
    if screen.type != name:
        raise Invalid(f"{where}.type must be {name}, as its key says", param=f"{where}.type")
    if screen.offering is not UNSET and screen.offering.type == "SPECIFIC" and screen.offering.offering_id is UNSET:
        raise Invalid(f"{where}.offering.offering_id is missing: say which offering", param=f"{where}.offering.offering_id")
    ids = [path.id for path in screen.paths]
    for place, path in enumerate(screen.paths):
        _check_path(f"{where}.paths[{place}]", path, is_twice=ids.count(path.id) > 1)


def _check_path(where: str, path: HelpPath, *, is_twice: bool) -> None:
    if is_twice:
        raise Invalid(f"{where}.id {path.id!r} is there twice; each path of a screen needs its own", param=f"{where}.id")
    if path.type == "CUSTOM_URL" and path.url is UNSET:
        raise Invalid(f"{where}.url is missing: say what to open", param=f"{where}.url")
    if path.url is not UNSET and ":" not in path.url:
        raise Invalid(f"{where}.url is not an address with a scheme, such as https://example.com", param=f"{where}.url")
    if path.type == "CUSTOM_ACTION" and path.action_identifier is UNSET:
        raise Invalid(f"{where}.action_identifier is missing: say what the app is told", param=f"{where}.action_identifier")


def shown(config: Config, platform: Platform, *, has_subscribed: bool) -> Config:
    """As one customer sees it: an offer of the other platform's store would break the SDK, so it is left out."""
    screens = replace(
        config.screens,
        MANAGEMENT=_shown_screen(config.screens.MANAGEMENT, platform, has_subscribed=has_subscribed),
        NO_ACTIVE=_shown_screen(config.screens.NO_ACTIVE, platform, has_subscribed=has_subscribed),
    )
    return replace(config, screens=screens)


def _shown_screen(screen: Screen, platform: Platform, *, has_subscribed: bool) -> Screen:
    def offer(one: PromotionalOffer | UnsetType) -> PromotionalOffer | UnsetType:
        if one is UNSET or (one.ios_offer_id if platform == "apple" else one.android_offer_id) is UNSET:
            return UNSET
        return replace(one, eligible=one.eligible and has_subscribed)

    def survey(one: FeedbackSurvey | UnsetType) -> FeedbackSurvey | UnsetType:
        if one is UNSET:
            return UNSET
        return replace(one, options=[replace(option, promotional_offer=offer(option.promotional_offer)) for option in one.options])

    paths = [replace(path, promotional_offer=offer(path.promotional_offer), feedback_survey=survey(path.feedback_survey)) for path in screen.paths]
    return replace(screen, paths=paths)


def may_write(tickets: SupportTickets, *, is_active: bool) -> bool:
    match tickets.customer_type:
        case "all":
            return tickets.allow_creation
        case "active":
            return tickets.allow_creation and is_active
        case "not_active":
            return tickets.allow_creation and not is_active
        case "none":
            return False


def check_ticket(email: str, description: str) -> None:
    """`Invalid` (7012: not an e-mail address)."""
    if not is_email(email):
        raise Invalid("customer_email is not an e-mail address", param="customer_email", code=7012)
    if not description.strip() or len(description) > LONGEST_DESCRIPTION or "\x00" in description:
        raise Invalid(f"issue_description must have 1 to {LONGEST_DESCRIPTION} characters", param="issue_description")


def is_email(text: str) -> bool:
    local, at, domain = text.rpartition("@")
    return len(text) <= 254 and bool(local and at and "." in domain) and text.isprintable() and " " not in text
