"""The pages: what is running, who the customers are, and one customer's timeline with buttons that make things happen."""

from datetime import datetime
from importlib.resources import files
from urllib.parse import urlsplit

import msgspec
from litestar import Response, get, post
from litestar.exceptions import NotFoundException
from litestar.params import FromPath, FromQuery, URLEncodedBody
from litestar.response import Redirect

from perennial import __version__, agenda, catalog, currencies, customers, events, intake, subscriptions
from perennial.api.auth import HttpRequest, app_of
from perennial.api.errors import status_of
from perennial.api.v1.answers import to_json
from perennial.app import App
from perennial.base.db import Tx
from perennial.base.errors import NotFound, PerennialError
from perennial.base.value import value
from perennial.catalog.model import App as CatalogApp
from perennial.catalog.model import Product, Project
from perennial.customers.model import Customer, check_app_user_id
from perennial.dashboard import actions, db, rules, stores
from perennial.dashboard.acts import Outlook
from perennial.dashboard.demo import Demo, path_of, require_demo
from perennial.dashboard.guard import demo_only, from_our_pages, from_this_machine, shows_demo
from perennial.dashboard.receiver import received_by
from perennial.dashboard.rendering import in_path, page
from perennial.dashboard.sdks import snippets
from perennial.intake.model import StoreApp
from perennial.postgres import running_url

MOST_LISTED = 100
MOST_ON_HOME = 12
MOST_PRODUCTS = 1000

DOCS = "/openapi/openapi.json"
_GUARDS = [demo_only, from_this_machine, from_our_pages]
_FILES = {"style.css": "text/css", "script.js": "text/javascript", "icon.svg": "image/svg+xml"}
_PLACES = tuple(stores.STORES)


# What is running --------------------------------------------------------------------------------------------------------------


@get("/", guards=[from_this_machine, from_our_pages])
async def home(request: HttpRequest, moved: FromQuery[int | None] = None) -> Response[str] | Response[bytes]:
    """The demo's first page; elsewhere a few words for who looks what answers here."""
    if not shows_demo(app_of(request).settings):
        return to_json({"name": "Perennial", "version": __version__, "docs": DOCS})
    return await _home(request, moved=moved)


async def _home(request: HttpRequest, *, moved: int | None = None, trouble: str | None = None, status: int = 200) -> Response[str]:
    app = app_of(request)
    demo = require_demo(app.settings)
    async with app.database.transaction(demo.project_id) as tx:
        around = await _surroundings(app, tx)
        lanes = await db.lanes(tx, agenda.LANES)
        parked = await db.parked(tx, MOST_LISTED)
        seen = await _seen_lately(tx, MOST_ON_HOME)
        keys = await catalog.get_keys(tx)
    by_app = {key.app_id: key.public_key for key in keys if key.public_key and key.revoked_at is None}
    shown = [(one, by_app[one.app_id]) for one in around.apps if one.app_id in by_app]
    test_key = next((key for one, key in shown if one.store == "test_store"), shown[0][1] if shown else "")
    return page(
        "home.html",
        status=status,
        here="/",
        around=around,
        trouble=trouble,
        moved=moved,
        version=__version__,
        lanes=lanes,
        parked=parked,
        seen=seen,
        keys=shown,
        snippets=snippets(demo.base_url, test_key),
        database=_database(request, app),
        base_url=demo.base_url,
        secret_at=path_of(app.settings),
        received=list(received_by(request))[:MOST_ON_HOME],
        wall=app.database.clock(),
        search="",
    )


def _database(request: HttpRequest, app: App) -> str:
    """Where it is, without its password. Looked up once: whether it is the embedded one is asked of the operating system."""
    state = request.app.state
    if "database_name" not in state:
        state["database_name"] = _name_database(app)
    name: str = state["database_name"]
    return name


def _name_database(app: App) -> str:
    url = app.settings.require_database_url()
    try:
        is_embedded = (app.settings.home / "postgres").exists() and running_url(app.settings.home) == url
    except (OSError, PerennialError):
        is_embedded = False
    parts = urlsplit(url)
    port = f":{parts.port}" if parts.port else ""
    name = f"{parts.path.lstrip('/') or 'postgres'} on {parts.hostname or 'a local socket'}{port}"
    return f"embedded PostgreSQL in {app.settings.home / 'postgres'}" if is_embedded else name


@value
class Choice:
    """Something to buy. `key` is what its form sends: the product, and the way it is bought where that is not the usual one."""

    key: str
    product: Product
    way: str


@value
class Surroundings:
    """What every page shows or needs of the project."""

    project: Project
    now: datetime
    apps: list[CatalogApp]
    products: list[Product]
    sold: list[tuple[CatalogApp, list[Choice]]]  # what can be bought here, by app

    @property
    def sold_by_several(self) -> set[str]:
        """Stores that a product's name alone does not tell apart: several apps sell in them."""
        stores = [app.store for app, _ in self.sold]
        return {store for store in stores if stores.count(store) > 1}

    @property
    def is_ticking(self) -> bool:
        return self.project.clock_at is None or self.project.clock_started_at is not None


async def _surroundings(app: App, tx: Tx) -> Surroundings:
    apps = sorted(await catalog.get_apps(tx, limit=MOST_LISTED), key=_place)
    products = sorted(await catalog.get_products(tx, limit=MOST_PRODUCTS), key=_cost)
    known = await intake.store_apps(tx, app.vault, [one.app_id for one in apps])
    sold = [(one, _choices(known[one.app_id], [product for product in products if product.app_id == one.app_id])) for one in apps]
    return Surroundings(
        project=await catalog.require_project(tx),
        now=tx.now,
        apps=apps,
        products=products,
        sold=[(one, choices) for one, choices in sold if choices],
    )


def _cost(product: Product) -> int:
    return product.prices[0].amount if product.prices else 0


def _choices(app: StoreApp, products: list[Product]) -> list[Choice]:
    store = stores.STORES.get(app.store)
    ways = [(product, way, words) for product in products if store is not None for way, words in store.ways_to_buy(app, product).items()]
    return [Choice(key=f"{product.product_id} {way}".strip(), product=product, way=words) for product, way, words in ways]


def _place(app: CatalogApp) -> tuple[int, str]:
    """Those that can be rehearsed here first."""
    return _PLACES.index(app.store) if app.store in _PLACES else len(_PLACES), app.app_id


async def _seen_lately(tx: Tx, limit: int) -> list[Customer]:
    ids = await db.seen_lately(tx, limit)
    found = await customers.load(tx, ids)
    return [found[customer_id] for customer_id in ids if found[customer_id].aliases]


# Customers --------------------------------------------------------------------------------------------------------------------


@get("/customers", guards=_GUARDS)
async def search_customers(request: HttpRequest, search: FromQuery[str] = "") -> Response[str] | Redirect:
    """By an app user id or an e-mail address, exactly; without one, those seen last."""
    app, wanted = app_of(request), search[:200].replace("\x00", "")
    demo = require_demo(app.settings)
    async with app.database.transaction(demo.project_id) as tx:
        around = await _surroundings(app, tx)
        if wanted.strip():
            ids = await customers.page(tx, after=None, limit=MOST_LISTED, search=wanted)
            ids = ids or await customers.page(tx, after=None, limit=MOST_LISTED, search=wanted.strip())
            found = [one for one in (await customers.load(tx, ids)).values() if one.aliases]
        else:
            found = await _seen_lately(tx, MOST_LISTED)
    if wanted.strip(".") and len(found) == 1:
        return Redirect(in_path(found[0].app_user_id), status_code=303)
    return page("customers.html", here="/customers", around=around, search=wanted, found=found, trouble=None)


@get("/customers/{app_user_id:str}", guards=_GUARDS)
async def customer(request: HttpRequest, app_user_id: FromPath[str], moved: FromQuery[int | None] = None) -> Response[str]:
    return await _customer(request, app_user_id, moved=moved)


async def _customer(
    request: HttpRequest, app_user_id: str, *, moved: int | None = None, trouble: str | None = None, status: int = 200
) -> Response[str]:
    app = app_of(request)
    demo = require_demo(app.settings)
    async with app.database.transaction(demo.project_id) as tx:
        around = await _surroundings(app, tx)
        found = (await customers.find(tx, [app_user_id[:200].replace("\x00", "")])).values()
        if not found:
            return page(
                "customers.html", status=status if trouble else 404, here="/customers", around=around, search=app_user_id, found=[], trouble=trouble
            )
        customer_id = next(iter(found))
        who = (await customers.load(tx, [customer_id]))[customer_id]
        lines = await subscriptions.load_of_customers(tx, [customer_id])
        products = await catalog.find_products(tx, {(line.app_id, product) for line in lines for product in rules.products_of(line)})
        told = await events.latest_events(tx, await customers.merged_ids(tx, customer_id), limit=MOST_LISTED)
        outlook = await stores.outlook(tx, lines, around.products)
        balances = (await currencies.balances(tx, [customer_id]))[customer_id]
    newest_first = sorted((line for line in lines if line.held), key=lambda line: line.held[-1].purchase.purchased_at, reverse=True)
    views = [rules.show_line(line, products, outlook.get(line.line_id, Outlook()), around.now) for line in newest_first[:MOST_LISTED]]
    return page(
        "customer.html",
        status=status,
        here=in_path(app_user_id),
        around=around,
        trouble=trouble,
        moved=moved,
        search="",
        who=who,
        app_user_id=app_user_id,
        given=rules.entitlements(lines, products, outlook, around.now),
        lines=[view for view in views if view is not None],
        told=[(event, rules.told(event.body)) for event in told[::-1]],
        balances=sorted(balances.items()),
        attributes=[(name, one) for name, one in sorted(who.attributes.items()) if one.value is not None][:MOST_LISTED],
    )


# Forms ------------------------------------------------------------------------------------------------------------------------


class MoveClock(msgspec.Struct):
    by: str
    app_user_id: str = ""  # whose page to show afterwards


class Buy(msgspec.Struct):
    app_user_id: str
    product_id: str  # a product, and after a space the way it is bought where that is not the usual one


class Again(msgspec.Struct):
    kind: str
    place: str
    key: str
    environment: str = ""


@post("/demo/clock", guards=_GUARDS)
async def move_clock(request: HttpRequest, data: URLEncodedBody[MoveClock]) -> Response[str] | Redirect:
    app, demo = _entered(request)
    try:
        moved = await actions.advance(request, app, demo.project_id, data.by)
    except PerennialError as error:
        return await _troubled(request, data.app_user_id, error)
    return Redirect(_back(data.app_user_id, moved), status_code=303)


@post("/demo/purchases", guards=_GUARDS)
async def buy(request: HttpRequest, data: URLEncodedBody[Buy]) -> Response[str] | Redirect:
    app, demo = _entered(request)
    app_user_id = data.app_user_id
    try:
        check_app_user_id(app_user_id)
        product_id, _, way = data.product_id.partition(" ")
        await actions.buy(app, demo.project_id, app_user_id, product_id, way)
    except PerennialError as error:
        return await _troubled(request, app_user_id, error)
    return Redirect(_back(app_user_id), status_code=303)


@post("/demo/lines/{line_id:str}", guards=_GUARDS)
async def act(request: HttpRequest, line_id: FromPath[str], data: URLEncodedBody[dict[str, str]]) -> Response[str] | Redirect:
    """`act` names the button; the field of the act's own name says in which way, where there are several."""
    app, demo = _entered(request)
    app_user_id, name = data.get("app_user_id", ""), data.get("act", "")
    try:
        await actions.act(app, demo.project_id, line_id, name, data.get(name, ""))
    except PerennialError as error:
        return await _troubled(request, app_user_id, error)
    return Redirect(_back(app_user_id), status_code=303)


@post("/demo/parked", guards=_GUARDS)
async def try_again(request: HttpRequest, data: URLEncodedBody[Again]) -> Response[str] | Redirect:
    app, demo = _entered(request)
    try:
        await actions.try_again(app, demo.project_id, data.kind, data.place, data.key, data.environment)
    except PerennialError as error:
        return await _troubled(request, "", error)
    return Redirect("/", status_code=303)


def _entered(request: HttpRequest) -> tuple[App, Demo]:
    app = app_of(request)
    return app, require_demo(app.settings)


def _back(app_user_id: str, moved: int | None = None) -> str:
    path = in_path(app_user_id) if app_user_id else "/"
    return path if moved is None else f"{path}{'&' if '?' in path else '?'}moved={moved}"


async def _troubled(request: HttpRequest, app_user_id: str, error: PerennialError) -> Response[str]:
    """The page again, with what could not be done."""
    if isinstance(error, NotFound) or not app_user_id.strip():
        return await _home(request, trouble=error.message, status=status_of(error))
    return await _customer(request, app_user_id, trouble=error.message, status=status_of(error))


# Files ------------------------------------------------------------------------------------------------------------------------


@get("/dashboard/{name:str}", guards=_GUARDS)
async def static(name: FromPath[str]) -> Response[bytes]:
    if name not in _FILES:
        raise NotFoundException()
    content = files("perennial.dashboard").joinpath("static", name).read_bytes()
    return Response(content=content, media_type=_FILES[name], headers={"Cache-Control": "no-cache"})


HANDLERS = [home, search_customers, customer, move_clock, buy, act, try_again, static]
