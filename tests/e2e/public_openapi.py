"""An OpenAPI document of somebody else's, and how well our server keeps to it: requests made from its schemas, answers judged by them."""

import json
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import schemathesis
import yaml
from hypothesis import HealthCheck, given, seed, settings
from jsonschema import Draft202012Validator

TOLERATED = frozenset((400, 401, 403, 404, 409, 422, 429))  # beside what is documented, where the body is an error as documented


@dataclass(frozen=True)
class Departure:
    """Where the document is not what real clients see, or where we differ on purpose: `pointer` into it, and what holds there instead."""

    pointer: str
    holds: Any
    reason: str


@dataclass
class Verdict:
    """What one operation was asked and how it answered."""

    label: str
    group: str
    statuses: Counter[int] = field(default_factory=Counter)
    problems: dict[str, str] = field(default_factory=dict)  # by what is wrong, with the first answer that showed it

    @property
    def succeeded(self) -> bool:
        return any(status < 300 for status in self.statuses)

    def row(self) -> str:
        said = " ".join(f"{status}:{count}" for status, count in sorted(self.statuses.items()))
        verdict = "conforms" if not self.problems else f"{len(self.problems)} problems"
        return f"{self.group[:20]:20} {self.label:112} {verdict:12} {said}"


def load(path: Path, departures: Sequence[Departure]) -> dict[str, Any]:
    document: dict[str, Any] = yaml.safe_load(path.read_text())
    for one in departures:
        *steps, last = map(_unescaped, one.pointer.strip("/").split("/"))
        inside = _at(document, steps)
        assert inside.get(last) != one.holds, f"{path.name} says so itself now: drop the departure {one.pointer}"
        inside[last] = one.holds
    return document


def require_all(schema: Any, *, but: frozenset[str]) -> None:
    """Every property of every object must be there: for documents that require none."""
    if isinstance(schema, list):
        for one in schema:
            require_all(one, but=but)
    elif isinstance(schema, dict):
        properties = schema.get("properties")
        if isinstance(properties, dict) and schema.get("type") == "object":
            schema["required"] = [name for name in properties if name not in but]
        for one in schema.values():
            require_all(one, but=but)


def operations_of(document: dict[str, Any]) -> Iterator[Any]:
    return (found.ok() for found in schemathesis.openapi.from_dict(document).get_all_operations())


class Judge:
    """Says what is wrong with an answer, by the document."""

    def __init__(self, document: dict[str, Any], *, error: Any) -> None:
        self._document = document
        self._components = _in_2020(document.get("components", {}))
        self._error = error
        self._validators: dict[str, Draft202012Validator] = {}

    def problems(self, operation: Any, answer: Any) -> list[str]:
        status = answer.status_code
        documented = operation.definition.raw["responses"].get(str(status))
        if status >= 500:
            return [f"{status}"]
        if documented is None and status not in TOLERATED:
            return [f"{status} is not documented"]
        schema = self._error if documented is None else self._schema_of(documented)
        if schema is None:
            return []
        [media_type] = answer.headers["content-type"]
        if media_type.partition(";")[0] != "application/json":
            return [f"{status} in {media_type}"]
        return [f"{status} {_shown(error)}" for error in self._validator(schema).iter_errors(json.loads(answer.content))]

    def _schema_of(self, response: Any) -> Any:
        while "$ref" in response:
            response = _at(self._document, map(_unescaped, response["$ref"].removeprefix("#/").split("/")))
        return response.get("content", {}).get("application/json", {}).get("schema")

    def _validator(self, schema: Any) -> Draft202012Validator:
        key = json.dumps(schema, sort_keys=True, default=str)
        if key not in self._validators:
            self._validators[key] = Draft202012Validator({**_in_2020(schema), "components": self._components})
        return self._validators[key]


def _at(document: Any, steps: Any) -> Any:
    for step in steps:
        document = document[int(step)] if isinstance(document, list) else document[step]
    return document


def _unescaped(step: str) -> str:
    return step.replace("~1", "/").replace("~0", "~")


def _in_2020(schema: Any) -> Any:
    """OpenAPI 3.0 says `nullable` where JSON Schema says null."""
    if isinstance(schema, list):
        return [_in_2020(one) for one in schema]
    if not isinstance(schema, dict):
        return schema
    plain = {name: _in_2020(one) for name, one in schema.items() if name not in ("nullable", "example", "examples")}
    return {"anyOf": [plain, {"type": "null"}]} if schema.get("nullable") is True else plain


def _shown(error: Any) -> str:
    """Which field, without the places in lists, and the rule it breaks; of alternatives, the one that fits best."""
    while error.context:
        error = max(error.context, key=lambda one: (len(one.absolute_path), one.validator != "type"))
    where = ".".join("[]" if isinstance(step, int) else str(step) for step in error.absolute_path)
    return f"{where or 'the body'}: {error.message[:200]}"


def exercise(
    operation: Any, judge: Judge, call: Callable[[Any], Any], *, known: Sequence[Any], prepare: Callable[[Any, int], None], examples: int
) -> Verdict:
    """Sends what is known to be right, then what the document's own schemas allow, `prepare`d to be about what there is."""
    verdict = Verdict(label=operation.label, group=(operation.definition.raw.get("tags") or ["-"])[0])

    def send(case: Any) -> None:
        answer = call(case)
        verdict.statuses[answer.status_code] += 1
        for problem in judge.problems(operation, answer):
            verdict.problems.setdefault(problem, f"{case.method} {case.formatted_path} {case.query} {case.body!r:.300}: {answer.text:.600}")

    for case in known:
        send(case)

    @seed(1)
    @settings(max_examples=examples, deadline=None, database=None, suppress_health_check=list(HealthCheck))
    @given(case=operation.as_strategy())
    def generated(case: Any) -> None:
        prepare(case, verdict.statuses.total())
        send(case)

    generated()
    return verdict
