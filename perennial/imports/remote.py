"""Moving in over the API: page by page through the vendor's v2, or any server that speaks it, such as one of our own.

v2 tells a line's key, its periods and how it goes on, but no prices of single periods: what is read here is a summary. One customer costs four
requests, and one more for each subscription; 429 is waited out as it asks. The vendor allows 480 requests a minute: a scheduled export is the
quicker way for many customers.
"""

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from typing import Any
from urllib.parse import quote, urlsplit

from perennial.base.errors import Invalid, NotFound, Unavailable
from perennial.base.http import Answer, Http
from perennial.base.secrets import Secret
from perennial.base.time import from_ms
from perennial.base.value import replace, value
from perennial.customers.model import Attribute, is_app_user_id
from perennial.imports import rules
from perennial.imports.answers import purchase_rows, subscription_rows, with_present
from perennial.imports.model import Batch, Person, Place, Refused, Row, Shelf, Told, buyer_of

PAGE = 100  # customers
_AT_ONCE = 8  # customers asked about side by side
_MOST_PAGES = 1000  # of one customer's list
_ATTEMPTS = 6
_LONGEST_WAIT = 120.0  # seconds

Json = Mapping[str, Any]


@value
class Remote:
    """The other side: its address without /v2, a secret key of it, and the project there."""

    http: Http
    base_url: str
    key: Secret
    project_id: str

    @property
    def path(self) -> str:
        return f"{self.base_url}/v2/projects/{quote(self.project_id, safe='')}"

    async def get(self, address: str, **query: str) -> Json:
        """One answer. Waits where it is asked to. Raises `Unavailable`, or `Invalid` where it refuses."""
        answer = await ask(self.http, address, self.key, query)
        if answer.status == 404:
            raise NotFound(f"{urlsplit(address).path} is not there")
        found: Json = answer.decode(dict[str, Any])
        return found

    async def items(self, address: str, **query: str) -> AsyncIterator[Json]:
        """All of a list, page after page."""
        after: dict[str, str] = {}
        for _ in range(_MOST_PAGES):
            page = await self.get(address, limit=str(PAGE), **query, **after)
            items = page.get("items") or []
            for item in items:
                yield item
            if not page.get("next_page") or not items:
                return
            after = {"starting_after": str(items[-1]["id"])}
        raise Unavailable(f"{urlsplit(address).path} has no end")


async def ask(http: Http, address: str, key: Secret, query: Mapping[str, str] | None = None) -> Answer:
    """Waits for a server that says it is asked too fast, or does not answer, a few times. Raises `Unavailable`, or `Invalid` where it refuses us."""
    for attempt in range(_ATTEMPTS):
        try:
            answer = await http.call("GET", address, query=query, headers={"Authorization": f"Bearer {key.reveal()}"})
        except Unavailable:
            if attempt + 1 == _ATTEMPTS:
                raise
            await asyncio.sleep(min(2.0**attempt / 4, _LONGEST_WAIT))
            continue
        if answer.is_success or answer.status == 404:
            return answer
        if answer.status not in (423, 429) and answer.status < 500:
            raise Invalid(f"{urlsplit(address).netloc} answers {answer.status} to {urlsplit(address).path}; is the key right, and may it read this?")
        await asyncio.sleep(min(max(_wait_of(answer), 2.0**attempt / 4), _LONGEST_WAIT))
    raise answer.unavailable()


def _wait_of(answer: Answer) -> float:
    """How long we are asked to wait, in seconds."""
    told = answer.decode(dict[str, Any]).get("backoff_ms") if answer.content.startswith(b"{") else None
    return told / 1000 if isinstance(told, int | float) and told > 0 else 0.0


async def batches(remote: Remote, shelf: Shelf, reached: str) -> AsyncIterator[Batch]:
    """Customers in the other side's order, from the one after `reached` on."""
    products = {item["id"]: item["store_identifier"] async for item in remote.items(f"{remote.path}/products")}
    after = {"starting_after": reached} if reached else {}
    while True:
        page = await remote.get(f"{remote.path}/customers", limit=str(PAGE), **after)
        ids = [str(item["id"]) for item in page.get("items") or []]
        if not ids:
            return
        yield await _batch(remote, shelf, products, page["items"], ids[-1])
        if not page.get("next_page"):
            return
        after = {"starting_after": ids[-1]}


async def _batch(remote: Remote, shelf: Shelf, products: Mapping[str, str], items: Sequence[Json], reached: str) -> Batch:
    gate = asyncio.Semaphore(_AT_ONCE)

    async def one(item: Json) -> tuple[Person | None, list[Told], list[Refused]]:
        async with gate:
            return await _customer(remote, shelf, products, item)

    found = await asyncio.gather(*(one(item) for item in items))
    return Batch(
        people=tuple(person for person, _, _ in found if person is not None),
        told=tuple(told for _, lines, _ in found for told in lines),
        refused=tuple(refused for _, _, problems in found for refused in problems),
        rows=len(items),
        reached=reached,
    )


async def _customer(remote: Remote, shelf: Shelf, products: Mapping[str, str], item: Json) -> tuple[Person | None, list[Told], list[Refused]]:
    place = Place(name=str(item["id"]), line=0)
    path = f"{remote.path}/customers/{quote(place.name, safe='')}"
    try:
        app_user_id, refused_name = buyer_of(place.name)
        aliases = [alias["id"] async for alias in remote.items(f"{path}/aliases")]
        attributes = {one["name"]: _attribute(one) async for one in remote.items(f"{path}/attributes")}
        person = Person(
            app_user_id=app_user_id,
            aliases=tuple(alias for alias in aliases if alias != place.name and refused_name is None and is_app_user_id(alias)),
            first_seen_at=from_ms(item["first_seen_at"]) if item.get("first_seen_at") else None,
            country=item.get("last_seen_country"),
            attributes=attributes,
        )
    except (Invalid, NotFound) as error:  # one who went away meanwhile
        return None, [], [Refused(place=place, reason=error.message)]
    told: list[Told] = []
    refused: list[Refused] = []
    async for one in _lines(remote, path, shelf, products, place):
        if isinstance(one, Told):
            told.append(one)
        else:
            refused.append(one)
    return person, told, refused


def _attribute(item: Json) -> Attribute:
    return Attribute(value=item.get("value"), updated_at=from_ms(item["updated_at"]))


# Lines ------------------------------------------------------------------------------------------------------------------------


async def _lines(remote: Remote, path: str, shelf: Shelf, products: Mapping[str, str], place: Place) -> AsyncIterator[Told | Refused]:
    async for item in remote.items(f"{path}/subscriptions"):
        periods = [one async for one in remote.items(f"{remote.path}/subscriptions/{quote(str(item['id']), safe='')}/transactions")]
        yield _read(place, shelf, item, subscription_rows(item, periods, products, place))
    async for item in remote.items(f"{path}/purchases"):
        yield _read(place, shelf, item, purchase_rows(item, products, place))


def _read(place: Place, shelf: Shelf, item: Json, rows: Sequence[Row] | str) -> Told | Refused:
    if isinstance(rows, str):
        return Refused(place=place, reason=f"{item['object']} {item['id']}: {rows}")
    app_user_id, refused_name = buyer_of(place.name)
    told = rules.told_of([replace(row, app_user_id=app_user_id, refused_name=refused_name) for row in rows], shelf)
    is_subscription = item["object"] == "subscription" and item["store"] != "promotional"
    return with_present(told, item, shelf.as_of) if isinstance(told, Told) and is_subscription else told
