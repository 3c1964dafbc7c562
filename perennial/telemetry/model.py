"""An SDK's event and an advertising network's word, as they are kept."""

from datetime import datetime, timedelta
from typing import Any

from perennial.base.ids import AppId
from perennial.base.value import value

KEPT_FOR = timedelta(days=90)  # events; whoever wants them longer exports them
MOST_EVENTS = 1000  # of one request; SDKs send a few dozen
LARGEST_EVENT = 16 * 1024  # bytes of JSON; an SDK's event has about one thousand
LONGEST_NAME = 100  # characters of ids and types


@value
class SdkEvent:
    """Something that happened in an app: a paywall was shown, a button pressed, an advertisement earned money."""

    event_id: str
    type: str  # as the SDK spells it: paywall_impression, rc_ads_ad_displayed, web_billing
    app_user_id: str
    happened_at: datetime
    data: dict[str, Any]  # the whole event, as it was sent
    app_id: AppId | None = None


@value
class Attribution:
    network: str
    data: dict[str, Any]
    received_at: datetime
