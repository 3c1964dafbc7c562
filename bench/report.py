"""What a measurement says, as a table for people and as JSON for machines."""

from collections.abc import Sequence
from pathlib import Path
from statistics import median

import msgspec
from rich.console import Console
from rich.table import Table

from perennial.base.value import value


@value
class Figure:
    """A number, and what it could be at best: `ceiling` says how that was measured. `ratio` is the part of it that was reached."""

    name: str
    value: float
    unit: str
    ceiling: str = ""
    ceiling_value: float | None = None
    measured_ratio: float | None = None  # where it was measured in pairs
    target: str = ""  # what we want of it, in words
    note: str = ""

    @property
    def ratio(self) -> float | None:
        """1 is the ceiling itself, whether more is better or (of seconds) less."""
        if self.measured_ratio is not None or not self.ceiling_value:
            return self.measured_ratio
        return self.ceiling_value / self.value if self.unit in ("s", "ms") else self.value / self.ceiling_value


@value
class Rounds:
    """The same thing measured several times."""

    values: tuple[float, ...]

    @property
    def middle(self) -> float:
        return median(self.values)

    @property
    def spread(self) -> str:
        return f"{min(self.values):,.0f} to {max(self.values):,.0f} in {len(self.values)} rounds"


def paired(left: Rounds, right: Rounds) -> float:
    """The middle of the ratios of neighbouring rounds: what slows the whole machine for a while falls on both."""
    return median(one / other for one, other in zip(left.values, right.values, strict=True))


def show(console: Console, figures: Sequence[Figure]) -> None:
    table = Table(title="Perennial on this machine", title_justify="left", expand=False)
    for heading in ("", "unit", "value", "ceiling", "ratio", "target"):
        table.add_column(heading, justify="left" if heading in ("", "unit") else "right", no_wrap=True)
    table.add_column("the ceiling, and notes", ratio=1)
    for one in figures:
        ratio = f"{one.ratio:.2f}" if one.ratio is not None else ""
        ceiling = _short(one.ceiling_value) if one.ceiling_value is not None else ""
        table.add_row(one.name, one.unit, _short(one.value), ceiling, ratio, one.target, "; ".join(part for part in (one.ceiling, one.note) if part))
    console.print(table)


def save(path: Path, figures: Sequence[Figure]) -> None:
    rows = [
        {
            "name": one.name,
            "value": one.value,
            "unit": one.unit,
            "ceiling": one.ceiling,
            "ceiling_value": one.ceiling_value,
            "ratio": one.ratio,
            "target": one.target,
            "note": one.note,
        }
        for one in figures
    ]
    path.write_bytes(msgspec.json.format(msgspec.json.encode(rows), indent=2) + b"\n")


def _short(number: float) -> str:
    return f"{number:,.0f}" if number >= 100 else f"{number:.2f}"
