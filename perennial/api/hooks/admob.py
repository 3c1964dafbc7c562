"""Where AdMob says that an ad was watched: `GET /hooks/admob/{app_id}`, the address of a server-side verification callback."""

from litestar import Response, get
from litestar.params import FromPath

from perennial import catalog, intake, rewards
from perennial.api.auth import HttpRequest, app_of
from perennial.api.v1.answers import to_json
from perennial.base.errors import NotFound, Unauthorized
from perennial.intake.model import Untrusted


@get("/hooks/admob/{app_id:str}", operation_id="ad_watched", summary="AdMob's callback for a rewarded ad")
async def ad_watched(request: HttpRequest, app_id: FromPath[str]) -> Response[bytes]:
    """Set this address as the server-side verification callback of the ad units named in the app's setting `admob_ad_units`.

    The app tells AdMob the app user id as `user_id`, and the transaction of the SDK as `custom_data`. 200 once it is kept, rewarded or not, and
    for what is told again; 401 where it is not AdMob's word about an ad of this app.
    """
    app = app_of(request)
    project_id = None if "\x00" in app_id else await catalog.project_of_app(app.database, app_id)
    if project_id is None:
        raise NotFound(f"no app {app_id[:80]!r} here; copy the address from `perennial apps list`", param="app_id")
    async with app.database.transaction(project_id) as tx:
        store_app = (await intake.store_apps(tx, app.vault, [app_id]))[app_id]
    try:
        watched = await app.ads.watched(store_app, request.scope["query_string"])
    except Untrusted as error:
        raise Unauthorized(error.message, param=error.param) from error
    async with app.database.transaction(project_id) as tx:
        await rewards.give(tx, store_app.app_id, watched)
    return to_json({})
