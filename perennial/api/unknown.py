"""Names in the header `X-Perennial-Warning` what a server sent that nobody reads: a misspelt query parameter or field would else be lost in silence.

Such things are ignored, never refused: clients written for a later version work with this one. SDKs send more than is read on purpose, so they are
not told; and receipts, which servers forward from apps, are not looked at.
"""

from collections.abc import Iterator, Mapping
from types import UnionType
from typing import Annotated, Any, Union, get_args, get_origin, get_type_hints

import msgspec
from litestar import Litestar
from litestar.routes import HTTPRoute

from perennial.api.auth import HttpRequest
from perennial.base.value import value

HEADER = b"x-perennial-warning"
MOST_NAMED = 10
_LONGEST_NAME = 80
_MAX_BODY = 64 * 1024  # bytes; in a larger body fields are not looked for
_MOST_ITEMS = 100  # of a list that are looked at
_READ_BY_HAND = {"/rcbilling/v1/subscribers/{app_user_id}/products": {"id"}}
_NOT_LOOKED_AT = ("/v1/receipts",)


@value
class Shape:
    """What an operation reads."""

    parameters: frozenset[str]
    body: Any  # its type, or None


def shapes_of(app: Litestar) -> dict[tuple[str, str], Shape]:
    """By path template and method."""
    found = {}
    for route in app.routes:
        if isinstance(route, HTTPRoute):
            for method, (handler, model) in route.route_handler_map.items():
                data = handler.parsed_fn_signature.parameters.get("data")
                names = {one.field_alias for one in model.expected_query_params} | _READ_BY_HAND.get(route.path_format, set())
                found[route.path_format, str(method)] = Shape(parameters=frozenset(names), body=data.annotation if data is not None else None)
    return found


async def warn_of_unknown(request: HttpRequest) -> None:
    """Before a handler of v2, or of v1 for a secret key."""
    template = str(request.scope.get("path_template"))
    if template in _NOT_LOOKED_AT:
        return
    state = request.app.state
    if "shapes" not in state:
        state["shapes"] = shapes_of(request.app)
    shape: Shape | None = state["shapes"].get((template, request.method))
    if shape is None:
        return
    unknown = [f"query parameter {_shown(name)}" for name in dict.fromkeys(request.query_params) if name not in shape.parameters]
    if shape.body is not None:
        unknown += [f"field {_shown(name)}" for name in dict.fromkeys(_unknown_fields("", await _document(request), shape.body))]
    if unknown:
        more = f" and {len(unknown) - MOST_NAMED} more" if len(unknown) > MOST_NAMED else ""
        text = f"not known and ignored: {', '.join(unknown[:MOST_NAMED])}{more}"
        headers = request.scope["state"].setdefault("answer_headers", [])
        headers.append((HEADER, text.encode()))


async def _document(request: HttpRequest) -> Any:
    body = await request.body()
    if len(body) > _MAX_BODY:
        return None  # to read it once more would cost as much as what was asked for
    try:
        return msgspec.json.decode(body)
    except ValueError:
        return None  # the handler says what is wrong with it


def _unknown_fields(where: str, document: Any, shape: Any) -> Iterator[str]:
    if isinstance(document, dict) and (struct := _one_struct(shape)) is not None:
        fields = {field.encode_name: field.name for field in msgspec.structs.fields(struct)}
        hints = get_type_hints(struct)
        for name, inner in document.items():
            if name not in fields:
                yield f"{where}{name}"
            else:
                yield from _unknown_fields(f"{where}{name}.", inner, hints[fields[name]])
    elif isinstance(document, list) and (items := _items_of(shape)) is not None:
        for number, inner in enumerate(document[:_MOST_ITEMS]):
            yield from _unknown_fields(f"{where.removesuffix('.')}[{number}].", inner, items)


def _parts(shape: Any) -> list[Any]:
    """The alternatives of a type."""
    if get_origin(shape) is Annotated:
        return _parts(get_args(shape)[0])
    if get_origin(shape) in (Union, UnionType):
        return [part for one in get_args(shape) for part in _parts(one)]
    return [shape]


def _one_struct(shape: Any) -> type[msgspec.Struct] | None:
    """None where there are several, or anything goes."""
    structs = [part for part in _parts(shape) if isinstance(part, type) and issubclass(part, msgspec.Struct)]
    others = [part for part in _parts(shape) if get_origin(part) in (dict, Mapping) or part in (dict, Any)]
    return structs[0] if len(structs) == 1 and not others else None


def _items_of(shape: Any) -> Any:
    lists = [part for part in _parts(shape) if get_origin(part) in (list, tuple)]
    return get_args(lists[0])[0] if len(lists) == 1 else None


def _shown(name: str) -> str:
    return "".join(character if " " < character < "\x7f" else "?" for character in name[:_LONGEST_NAME])
