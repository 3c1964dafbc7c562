"""An OpenAPI document of somebody else's, and how well our server keeps to it: requests made from its schemas, answers judged by them."""

import json
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import schemathesis
import yaml
from hypothesis import HealthCheck, given, seed, settings
from jsonschema import Draft202012Validator

SUCCESS = range(200, 300)


@dataclass(frozen=True)
class Amendment:
    """Where the document is not what real clients see, or where ours differs on purpose: `pointer` into it, and what holds instead."""

    pointer: str
    replacement: Any
    reason: str


@dataclass
class Verdict:
    """What one operation was asked and how it answered."""

    label: str
    group: str
    statuses: Counter[int] = field(default_factory=Counter)
    problems: dict[str, str] = field(default_factory=dict)  # by what is wrong, with the first answer that showed it

    def row(self) -> str:
        said = " ".join(f"{status}:{count}" for status, count in sorted(self.statuses.items()))
        return f"{self.group[:24]:24} {self.label[:100]:100} {self.statuses.total():4} {len(self.problems):3}  {said}"


def load(path: Path, amendments: Sequence[Amendment]) -> dict[str, Any]:
    document: dict[str, Any] = yaml.safe_load(path.read_text())
    for amendment in amendments:
        *steps, last = amendment.pointer.strip("/").split("/")
        inside: Any = document
        for step in steps:
            inside = inside[_unescaped(step)]
        assert _unescaped(last) in inside, f"{amendment.pointer} is not there any more: drop the amendment"
        inside[_unescaped(last)] = amendment.replacement
    return document


def _unescaped(step: str) -> str:
    return step.replace("~1", "/").replace("~0", "~")


def operations_of(document: dict[str, Any]) -> Iterator[Any]:
    return (found.ok() for found in schemathesis.openapi.from_dict(document).get_all_operations())


class Judge:
    """Says what is wrong with an answer, by the document."""

    def __init__(self, document: dict[str, Any], *, tolerated: frozenset[int], error: Mapping[str, Any]) -> None:
        self._document = document
        self._tolerated = tolerated
        self._error = error
        self._validators: dict[str, Draft202012Validator] = {}

    def problems(self, operation: Any, status: int, media_type: str, body: bytes) -> list[str]:
        documented = operation.definition.raw["responses"].get(str(status))
        if status >= 500:
            return [f"{status}"]
        if documented is None and status not in self._tolerated:
            return [f"{status} is not documented"]
        schema = self._schema_of(documented) if documented is not None else self._error
        if schema is None:
            return []
        if media_type.partition(";")[0] != "application/json":
            return [f"{status} in {media_type}"]
        return [f"{status} {_shown(error)}" for error in self._validator(schema).iter_errors(json.loads(body))]

    def _schema_of(self, response: Any) -> Any:
        while "$ref" in response:
            response = self._at(response["$ref"])
        content = response.get("content", {}).get("application/json")
        return content.get("schema") if content else None

    def _at(self, reference: str) -> Any:
        inside: Any = self._document
        for step in reference.removeprefix("#/").split("/"):
            inside = inside[_unescaped(step)]
        return inside

    def _validator(self, schema: Any) -> Draft202012Validator:
        key = json.dumps(schema, sort_keys=True, default=str)
        if key not in self._validators:
            whole = {**_in_2020(schema), "components": _in_2020(self._document["components"])}
            self._validators[key] = Draft202012Validator(whole)
        return self._validators[key]


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
    return f"{where or 'the body'}: {error.message[:160]}"


Prepare = Callable[[Any, int], None]  # puts ids that exist into the case with this number
Call = Callable[[Any], Any]  # sends a case, answers with the response


def exercise(operation: Any, judge: Judge, known: Sequence[Any], prepare: Prepare, call: Call, examples: int) -> Verdict:
    """Sends what is known to be right, then what the document's own schemas allow."""
    verdict = Verdict(label=operation.label, group=(operation.definition.raw.get("tags") or ["-"])[0])

    def send(case: Any) -> None:
        answer = call(case)
        verdict.statuses[answer.status_code] += 1
        media_type = answer.headers.get("content-type", "")
        for problem in judge.problems(operation, answer.status_code, media_type, answer.content):
            verdict.problems.setdefault(problem, f"{case.method} {case.formatted_path} {case.query} {case.body!r}: {answer.text}"[:1000])

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
