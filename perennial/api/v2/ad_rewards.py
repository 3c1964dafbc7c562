"""What rewarded ads of an app give. Ours."""

from typing import Annotated, Literal

from litestar.params import JSONBody
from msgspec import Meta, Struct

from perennial import rewards
from perennial.api.auth import HttpRequest
from perennial.api.v2.entry import entered
from perennial.api.v2.routes import PathId, get, put
from perennial.catalog.model import MOST_OF_A_CURRENCY
from perennial.rewards.model import MOST_REWARDS
from perennial.rewards.model import AdReward as Kept

_PATH = "/projects/{project_id:str}/apps/{app_id:str}/ad_rewards"
_TAGS = ["Apps"]
Text = Annotated[str, Meta(min_length=1, max_length=200)]


class AdReward(Struct):
    """Either `currency_code`, with an `amount` (left out: as much as the ad unit says), or `entitlement_lookup_key` with a `duration` (ISO 8601)."""

    reward_item: Text
    currency_code: Text | None = None
    amount: Annotated[int, Meta(ge=1, le=MOST_OF_A_CURRENCY)] | None = None
    entitlement_lookup_key: Text | None = None
    duration: Annotated[str, Meta(max_length=40)] | None = None


class AdRewardsPut(Struct):
    rewards: Annotated[list[AdReward], Meta(max_length=MOST_REWARDS)]


class AdRewards(Struct):
    app_id: str
    rewards: list[AdReward]
    object: Literal["ad_rewards"] = "ad_rewards"


@get(_PATH, permission="project_configuration:apps:read", operation_id="get-ad-rewards", summary="Get what an app's rewarded ads give", tags=_TAGS)
async def get_ad_rewards(request: HttpRequest, project_id: PathId, app_id: PathId) -> AdRewards:
    async with entered(request, project_id) as entry:
        return AdRewards(app_id=app_id, rewards=[_shown(one) for one in await rewards.get_rewards(entry.tx, app_id)])


@put(
    _PATH,
    permission="project_configuration:apps:read_write",
    operation_id="put-ad-rewards",
    summary="Set what an app's rewarded ads give",
    tags=_TAGS,
)
async def put_ad_rewards(request: HttpRequest, project_id: PathId, app_id: PathId, data: JSONBody[AdRewardsPut]) -> AdRewards:
    """In place of all it gave. An item named several times gives all of it. Ads watched before stay as they were rewarded.

    Ads count whose units are named in the app's setting `admob_ad_units`, and whose callback is `/hooks/admob/{app_id}`.
    """
    kept = [_kept(one) for one in data.rewards]
    async with entered(request, project_id) as entry:
        await rewards.set_rewards(entry.tx, app_id, kept)
        await entry.audit("app.put_ad_rewards", app_id, {"reward_items": sorted({one.reward_item for one in kept})})
        return AdRewards(app_id=app_id, rewards=[_shown(one) for one in await rewards.get_rewards(entry.tx, app_id)])


def _kept(one: AdReward) -> Kept:
    return Kept(
        reward_item=one.reward_item,
        currency_code=one.currency_code,
        amount=one.amount,
        lookup_key=one.entitlement_lookup_key,
        duration=one.duration,
    )


def _shown(one: Kept) -> AdReward:
    return AdReward(
        reward_item=one.reward_item,
        currency_code=one.currency_code,
        amount=one.amount,
        entitlement_lookup_key=one.lookup_key,
        duration=one.duration,
    )


HANDLERS = [get_ad_rewards, put_ad_rewards]
