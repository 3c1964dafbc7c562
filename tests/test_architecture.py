"""The shape of the house, held by machine: what imports what, and what may not."""

from pathlib import Path

import grimp
import pytest

ROOT = Path(__file__).parents[1] / "perennial"
FACES = {"api", "cli", "dashboard"}
CONTEXTS = sorted({path.parent.name for part in ("model", "rules") for path in ROOT.glob(f"*/{part}.py")} - FACES)
FIVE_FILES = {"__init__", "model", "rules", "db", "actions"}
# Rooms a context may have beside the five: pure halves of its rules, named by what they decide.
PURE = {
    "currencies": {"wire"},
    "subscriptions": {"telling", "ownership", "wire", "grants", "booking", "earning", "proceeds", "customer_info"},
    "intake": {"external", "wrappings"},
}
# And what is read and written outside of the database.
OUTSIDE = {
    "imports": {"answers", "comparing", "files", "financial_reports", "receipts", "remote", "tables"},
    "exports": {"files"},
}


@pytest.fixture(scope="module")
def graph() -> grimp.ImportGraph:
    return grimp.build_graph("perennial", include_external_packages=True)


def test_only_base_db_and_migrations_speak_to_the_driver(graph: grimp.ImportGraph):
    assert graph.find_modules_that_directly_import("asyncpg") <= {"perennial.base.db", "perennial.base.migrate"}


def pure_modules() -> list[str]:
    names = [f"perennial.{context}.{part}" for context in CONTEXTS for part in sorted({"model", "rules"} | PURE.get(context, set()))]
    return [name for name in names if (ROOT.parent / (name.replace(".", "/") + ".py")).exists()]


@pytest.mark.parametrize("module", pure_modules())
def test_models_and_rules_reach_no_io_no_clock_and_no_chance(graph: grimp.ImportGraph, module: str):
    reached = graph.find_modules_directly_imported_by(module)
    forbidden = {name for name in reached if name.split(".")[0] in {"asyncio", "httpx", "asyncpg", "secrets", "random", "os", "pathlib"}}
    forbidden |= {name for name in reached if name.endswith((".db", ".actions")) or name == "perennial.base.db"}
    assert forbidden == set()


@pytest.mark.parametrize("context", CONTEXTS)
def test_a_context_is_entered_by_its_front_door(graph: grimp.ImportGraph, context: str):
    own = f"perennial.{context}"
    allowed = {own, f"{own}.model"}
    problems = {
        (importer, imported)
        for imported in graph.find_descendants(own) - {f"{own}.model"}
        for importer in graph.find_modules_that_directly_import(imported)
        if not importer.startswith(own + ".") and importer != own and imported not in allowed and importer.startswith("perennial.")
    }
    assert problems == set()


@pytest.mark.parametrize("context", CONTEXTS)
def test_a_context_has_the_five_files_and_no_attic(context: str):
    found = {path.stem for path in (ROOT / context).glob("*.py")}
    assert found <= FIVE_FILES | PURE.get(context, set()) | OUTSIDE.get(context, set())


def test_providers_do_not_know_each_other(graph: grimp.ImportGraph):
    """The simulated stores are made of the real ones' parts; nobody else looks sideways."""
    stores = {path.stem for path in (ROOT / "providers").iterdir() if not path.stem.startswith("_")}
    for store in stores - {"simulated"}:
        own = f"perennial.providers.{store}"
        for module in {own, *graph.find_descendants(own)} if own in graph.modules else set():
            others = {name for name in graph.find_modules_directly_imported_by(module) if name.startswith("perennial.providers.")}
            assert {name for name in others if not name.startswith(own)} == set(), module
