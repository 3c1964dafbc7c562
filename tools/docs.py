"""Keeps the documents true: the API reference is made from our own OpenAPI, links lead somewhere, commands exist.

`python -m tools.docs` writes `docs/api.md`; with `--check` it says what is out of date and fails. That the commands of `docs/start.md` do what they
say is shown by `tests/flows/test_docs.py`, which runs them.
"""

import re
import sys
from pathlib import Path
from typing import Any

from litestar import Litestar
from typer.main import get_command

from perennial.api import explained, hooks, oauth, operating, v1, v2
from perennial.asgi import OPENAPI
from perennial.cli import app as cli

ROOT = Path(__file__).parents[1]
PAGE = ROOT / "docs" / "api.md"
ERRORS = ROOT / "docs" / "errors.md"

Schema = dict[str, Any]


def main() -> int:
    reference = make_reference()
    if "--check" not in sys.argv:
        PAGE.write_text(reference)
        ERRORS.write_text(explained.markdown())
        return 0
    problems = [*broken_links(), *unknown_commands()]
    if not PAGE.exists() or PAGE.read_text() != reference:
        problems.append("docs/api.md is out of date; write it with: python -m tools.docs")
    if not ERRORS.exists() or ERRORS.read_text() != explained.markdown():
        problems.append("docs/errors.md is out of date; write it with: python -m tools.docs")
    print("\n".join(problems) or "the documents are true")
    return 1 if problems else 0


def make_reference() -> str:
    router = Litestar(route_handlers=[operating.router, v1.router, v2.router, hooks.router, oauth.router], openapi_config=OPENAPI)
    document = router.openapi_schema.to_schema()
    lines = [
        "# API reference",
        "",
        "Made from our OpenAPI, which a running server gives at `/openapi/openapi.json`.",
        "",
        document["info"]["description"],
        "",
    ]
    lines += [
        "Errors: v1 answers `{code, message}` v2 the error object `{object, type, message, param, retryable, doc_url}`: [what they mean](errors.md).",
        "",
    ]
    for area, paths in _by_area(document["paths"]).items():
        lines += [f"## {area}", "", "| | path | |", "|---|---|---|"]
        lines += [f"| {method.upper()} | `{path}` | {_about(operation)} |" for path, method, operation in paths]
        lines.append("")
    return "\n".join(lines)


def _by_area(paths: Schema) -> dict[str, list[tuple[str, str, Schema]]]:
    areas: dict[str, list[tuple[str, str, Schema]]] = {}
    for path, item in sorted(paths.items()):
        for method, operation in item.items():
            if isinstance(operation, dict) and "operationId" in operation:
                areas.setdefault(_area(path), []).append((path, method, operation))
    return areas


def _area(path: str) -> str:
    first = path.split("/")[1]
    return {"v1": "v1: SDKs and servers", "rcbilling": "v1: SDKs and servers", "v2": "v2: management", "hooks": "Stores' notifications"}.get(
        first, "Operating"
    )


def _about(operation: Schema) -> str:
    about = operation.get("summary") or ""
    more = (operation.get("description") or "").split("\n\n")[0].replace("\n", " ").replace("|", "\\|")
    body = _body(operation)
    return ". ".join(part for part in (about, more) if part).rstrip(".") + (f". Body: {body}" if body else "")


def _body(operation: Schema) -> str:
    content = (operation.get("requestBody") or {}).get("content") or {}
    references = [str(media.get("schema", {}).get("$ref", "")).rsplit("/", 1)[-1] for media in content.values()]
    return ", ".join(f"`{name}`" for name in references if name)


def broken_links() -> list[str]:
    pages = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
    return [
        f"{page.relative_to(ROOT)}: {target} is not there"
        for page in pages
        for target in re.findall(r"\]\((?!https?:)([^)#]+)", page.read_text())
        if not (page.parent / target).exists()
    ]


def unknown_commands() -> list[str]:
    """Every `perennial <verb>` in the documents must exist."""
    known = get_command(cli)
    problems = []
    for page in [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]:
        for words in re.findall(r"(?:^|[`/\s])perennial ((?:[a-z][a-z-]*[ `\n]?){1,2})", page.read_text(), re.MULTILINE):
            verbs = words.replace("`", " ").split()
            group: Any = known
            for verb in verbs:
                if not hasattr(group, "commands"):
                    break
                if verb not in group.commands:
                    problems.append(f"{page.relative_to(ROOT)}: there is no command `perennial {' '.join(verbs)}`")
                    break
                group = group.commands[verb]
    return problems


if __name__ == "__main__":
    sys.exit(main())
