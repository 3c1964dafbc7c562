"""What a Customer Center shows, in the very shape the SDKs read, as that is how it is kept and served; and a support ticket.

Fields that may be absent are `UNSET`; the SDKs fail on a null where they want an absent one.
"""

from datetime import datetime, timedelta
from typing import Annotated, Literal

from msgspec import UNSET, Meta, Struct, UnsetType, field

from perennial.base.errors import NotFound
from perennial.base.ids import CustomerId
from perennial.base.value import value

Text = Annotated[str, Meta(max_length=1000)]
Title = Annotated[str, Meta(min_length=1, max_length=200)]
Identifier = Annotated[str, Meta(min_length=1, max_length=200)]
Color = Annotated[str, Meta(pattern="^#[0-9A-Fa-f]{6}([0-9A-Fa-f]{2})?$")]

PathType = Literal["MISSING_PURCHASE", "REFUND_REQUEST", "CHANGE_PLANS", "CANCEL", "CUSTOM_URL", "CUSTOM_ACTION"]
ScreenType = Literal["MANAGEMENT", "NO_ACTIVE"]
TicketWriters = Literal["active", "not_active", "all", "none"]


class CrossProductPromotion(Struct, frozen=True, kw_only=True):
    store_offer_identifier: Identifier
    target_product_id: Identifier


class PromotionalOffer(Struct, frozen=True, kw_only=True):
    """Shown on the platforms it has an offer of the store for."""

    ios_offer_id: Identifier | UnsetType = UNSET
    android_offer_id: Identifier | UnsetType = UNSET
    eligible: bool = True  # offered at all; who never subscribed is not eligible whatever stands here
    title: Title
    subtitle: Text
    product_mapping: Annotated[dict[str, Identifier], Meta(max_length=500)] = {}  # product: offer
    cross_product_promotions: Annotated[dict[str, CrossProductPromotion], Meta(max_length=500)] | UnsetType = UNSET


class SurveyOption(Struct, frozen=True, kw_only=True):
    id: Identifier
    title: Title
    promotional_offer: PromotionalOffer | UnsetType = UNSET


class FeedbackSurvey(Struct, frozen=True, kw_only=True):
    title: Title
    options: Annotated[list[SurveyOption], Meta(min_length=1, max_length=50)]


class HelpPath(Struct, frozen=True, kw_only=True):
    id: Identifier
    title: Title
    type: PathType
    url: Annotated[str, Meta(min_length=1, max_length=2000)] | UnsetType = UNSET
    open_method: Literal["IN_APP", "EXTERNAL"] | UnsetType = UNSET
    action_identifier: Identifier | UnsetType = UNSET
    refund_window: Annotated[str, Meta(max_length=50)] | UnsetType = UNSET
    promotional_offer: PromotionalOffer | UnsetType = UNSET
    feedback_survey: FeedbackSurvey | UnsetType = UNSET


class ScreenOffering(Struct, frozen=True, kw_only=True):
    type: Literal["CURRENT", "SPECIFIC"]
    offering_id: Identifier | UnsetType = UNSET
    button_text: Title | UnsetType = UNSET


class Screen(Struct, frozen=True, kw_only=True):
    type: ScreenType
    title: Title
    subtitle: Text | UnsetType = UNSET
    paths: Annotated[list[HelpPath], Meta(max_length=50)] = []
    offering: ScreenOffering | UnsetType = UNSET


class Screens(Struct, frozen=True, kw_only=True):
    MANAGEMENT: Screen
    NO_ACTIVE: Screen


class Colors(Struct, frozen=True, kw_only=True):
    accent_color: Color | UnsetType = UNSET
    text_color: Color | UnsetType = UNSET
    background_color: Color | UnsetType = UNSET
    button_text_color: Color | UnsetType = UNSET
    button_background_color: Color | UnsetType = UNSET


class Appearance(Struct, frozen=True, kw_only=True):
    light: Colors = Colors()
    dark: Colors = Colors()


class Localization(Struct, frozen=True, kw_only=True):
    """The SDKs have English texts of their own for what is not named here."""

    locale: Annotated[str, Meta(min_length=2, max_length=20)] = "en_US"
    localized_strings: Annotated[dict[str, Text], Meta(max_length=500)] = {}


class CustomerDetails(Struct, frozen=True, kw_only=True):
    """What of the customer a ticket tells beside their words."""

    active_entitlements: bool = False
    app_user_id: bool = False
    att_consent: bool = False
    country: bool = False
    device_version: bool = False
    email: bool = False
    facebook_anon_id: bool = False
    idfa: bool = False
    idfv: bool = False
    ip: bool = False
    last_opened: bool = False
    last_seen_app_version: bool = False
    total_spent: bool = False
    user_since: bool = False


class SupportTickets(Struct, frozen=True, kw_only=True):
    allow_creation: bool = False
    customer_type: TicketWriters = "not_active"
    customer_details: CustomerDetails = CustomerDetails()


class Support(Struct, frozen=True, kw_only=True):
    email: Annotated[str, Meta(max_length=254)] = ""  # empty: nobody to write to
    should_warn_customer_to_update: bool = False
    should_warn_customers_about_multiple_subscriptions: bool = False
    display_purchase_history_link: bool = True
    display_user_details_section: bool = True
    display_virtual_currencies: bool = False
    support_tickets: SupportTickets = SupportTickets()


class PlanProduct(Struct, frozen=True, kw_only=True):
    product_id: Identifier
    selected: bool = True


class ChangePlan(Struct, frozen=True, kw_only=True):
    """The products of one subscription group among which a customer may change."""

    group_id: Identifier
    group_name: Title
    products: Annotated[list[PlanProduct], Meta(max_length=100)] = []


class Config(Struct, frozen=True, kw_only=True):
    screens: Screens
    appearance: Appearance = field(default_factory=Appearance)
    localization: Localization = field(default_factory=Localization)
    support: Support = field(default_factory=Support)
    change_plans: Annotated[list[ChangePlan], Meta(max_length=50)] = []
    last_published_app_version: Annotated[str, Meta(min_length=1, max_length=50)] | UnsetType = UNSET
    itunes_track_id: Annotated[int, Meta(ge=1, le=2**53)] | UnsetType = UNSET


DEFAULT = Config(
    screens=Screens(
        MANAGEMENT=Screen(
            type="MANAGEMENT",
            title="How can we help?",
            paths=[
                HelpPath(id="missing_purchase", title="A purchase is missing", type="MISSING_PURCHASE"),
                HelpPath(id="refund_request", title="Request a refund", type="REFUND_REQUEST"),
                HelpPath(id="cancel", title="Cancel the subscription", type="CANCEL"),
            ],
        ),
        NO_ACTIVE=Screen(
            type="NO_ACTIVE",
            title="No subscription found",
            subtitle="If you have bought one, we can look for it.",
            paths=[HelpPath(id="missing_purchase", title="Look for my purchases", type="MISSING_PURCHASE")],
        ),
    )
)

LONGEST_DESCRIPTION = 5000  # characters
MOST_TICKETS = 10  # of one customer in `TICKET_SPAN`
TICKET_SPAN = timedelta(days=1)


class TicketMissing(NotFound):
    """No such ticket in this project."""


@value
class Ticket:
    ticket_id: str
    customer_id: CustomerId
    app_user_id: str
    email: str
    description: str
    created_at: datetime
    closed_at: datetime | None = None
