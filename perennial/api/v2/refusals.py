"""Says in plain words what is wrong with a request: which field, and what it must be. The parsers' own words are for programmers."""

import re
from typing import Any

from litestar import Response
from litestar.exceptions import ValidationException

from perennial.api.auth import HttpRequest
from perennial.api.errors import v2_error

_KINDS = {
    "str": "a text",
    "int": "a whole number",
    "float": "a number",
    "bool": "true or false",
    "array": "a list",
    "object": "an object",
    "null": "null",
}
_MISSING = re.compile(r"Object missing required field `(?P<field>[^`]+)`")
_MISSING_QUERY = re.compile(r"Missing required query parameter '(?P<field>[^']+)'")
_LENGTH = re.compile(r"Expected `(?P<kind>str|array|object)` of length (?P<sign>>=|<=|==) (?P<bound>\d+)")
_BOUND = re.compile(r"Expected `(?:int|float)` (?P<sign>>=|<=|>|<) (?P<bound>[\d.]+)")
_KIND = re.compile(r"Expected `(?P<wanted>[^`]+)`, got `(?P<got>[^`]+)`")
_ENUM = re.compile(r"Invalid enum value (?P<text>.+)")
_SIGNS = {">=": "at least", "<=": "at most", ">": "more than", "<": "less than", "==": "exactly"}


def on_validation_error(request: HttpRequest, error: ValidationException) -> Response[bytes]:
    param, message = explain(error)
    return Response(content=v2_error(400, message, param=param), status_code=400, media_type="application/json")


def explain(error: ValidationException) -> tuple[str | None, str]:
    """The field (`prices[0].currency`), and a sentence that begins with it."""
    problems: list[Any] = error.extra if isinstance(error.extra, list) else []
    first = problems[0] if problems and isinstance(problems[0], dict) else {}
    said = str(first.get("message") or error.detail)
    where = None if first.get("key") in (None, "data") else str(first["key"])
    if found := _MISSING.search(said) or _MISSING_QUERY.search(said):
        field = found["field"] if where is None else f"{where}.{found['field']}"
        return field, f"{field} is missing"
    if where is None:
        return None, "the body must be a JSON object" if first.get("key") == "data" else said
    return where, f"{where} {_must(said)}"


def _must(said: str) -> str:
    if found := _LENGTH.search(said):
        one, many = {"str": ("character", "characters"), "array": ("item", "items"), "object": ("entry", "entries")}[found["kind"]]
        return f"must have {_SIGNS[found['sign']]} {found['bound']} {one if found['bound'] == '1' else many}"
    if found := _BOUND.search(said):
        return f"must be {_SIGNS[found['sign']]} {found['bound']}"
    if found := _KIND.search(said):
        wanted = " or ".join(_KINDS.get(kind, kind) for kind in found["wanted"].split(" | "))
        return f"must be {wanted}, not {_KINDS.get(found['got'], found['got'])}"
    if found := _ENUM.search(said):
        return f"cannot be {found['text']}; the documentation lists what it can be"
    return f"is not as documented: {said}"
