"""Pages of lists: forward only, by the id of the last item seen, never by counting.

Each list asks its query for one item more than it shows: if it comes, there is a next page.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Annotated, TypeVar
from urllib.parse import quote, urlencode

from litestar.di import NamedDependency
from litestar.params import QueryParameter

from perennial.api.auth import HttpRequest
from perennial.api.v2.entry import Entry
from perennial.api.v2.wire import ListOf
from perennial.base.errors import Invalid
from perennial.base.value import value

Item = TypeVar("Item")
Shown = TypeVar("Shown")

Expand = Annotated[list[str] | None, QueryParameter(description="Related objects to put in, by their paths: `a` or `a,b`")]


@value
class Page:
    """What part of a list is asked for. `path` and `kept` make the address of the next one."""

    path: str
    kept: tuple[tuple[str, str], ...]
    limit: int
    after: str | None

    @property
    def probe(self) -> int:
        """How many to ask the query for."""
        return self.limit + 1

    def of(self, found: Sequence[Item], key: Callable[[Item], str], show: Callable[[Item], Shown]) -> ListOf[Shown]:
        """The answer, from what a query for `probe` items after `after` found. `key` makes what the next page starts after."""
        items = found[: self.limit]
        following = self._address(key(items[-1])) if len(found) > self.limit else None
        return ListOf(items=[show(item) for item in items], next_page=following, url=self.path)

    def part_of(self, everything: Sequence[Item], key: Callable[[Item], str], show: Callable[[Item], Shown]) -> ListOf[Shown]:
        """The same from a short list held whole, in an order of its own."""
        keys = [key(item) for item in everything]
        if self.after is not None and self.after not in keys:
            raise Invalid(f"starting_after: there is no {self.after[:80]!r} in this list", param="starting_after")
        start = keys.index(self.after) + 1 if self.after is not None else 0
        return self.of(everything[start : start + self.probe], key, show)

    def _address(self, after: str) -> str:
        return f"{self.path}?{urlencode([*self.kept, ('starting_after', after)])}"


AskedPage = NamedDependency[Page]


async def page_of(
    request: HttpRequest,
    limit: Annotated[int, QueryParameter(ge=1, le=1000, description="How many items at most")] = 20,
    starting_after: Annotated[str | None, QueryParameter(max_length=1500, description="The id of the last item of the page before")] = None,
) -> Page:
    kept = tuple((name, text) for name, text in request.query_params.multi_items() if name != "starting_after")
    return Page(path=path_of(request), kept=kept, limit=limit, after=starting_after)


def path_of(request: HttpRequest) -> str:
    """As it is to be asked for again: an app user id in it may have any character."""
    return quote(request.scope["path"], safe="/:$@!&'()*+,;=~")


def whole(items: Sequence[Shown], url: str) -> ListOf[Shown]:
    """A nested list, all of it."""
    return ListOf(items=list(items), next_page=None, url=url)


def expanded(expand: Sequence[str] | None, *allowed: str) -> frozenset[str]:
    """What to put in, as the vendor's clients write it: `expand=a,b` or `expand=a&expand=b`."""
    wanted = frozenset(one.strip() for part in expand or () for one in part.split(",") if one.strip())
    if unknown := sorted(wanted - set(allowed)):
        raise Invalid(f"expand: {unknown[0][:80]!r} cannot be expanded here; {' and '.join(allowed)} can", param="expand")
    return wanted


def expanded_by(entry: Entry, expand: Sequence[str] | None, permissions: Mapping[str, str]) -> frozenset[str]:
    """The same, where what is put in needs a permission of its own: `permissions` by what can be expanded."""
    wanted = expanded(expand, *permissions)
    entry.require(*(permissions[one] for one in sorted(wanted)))
    return wanted
