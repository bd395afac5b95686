"""What came of an architecture: one row of ``outcomes.csv``."""

from __future__ import annotations

import csv
from collections.abc import Iterable
from dataclasses import asdict, dataclass, fields
from pathlib import Path

__all__ = ["BAD", "TABLE", "Outcome", "read", "write"]

TABLE = Path(__file__).with_name("outcomes.csv")

ORDER = ("wrapped", "warned", "named error", "timeout", "wrong", "raw exception")
"""From the best to the worst; an architecture has that of its worst part."""

BAD = ("timeout", "wrong", "raw exception")
"""What must not come of any."""


@dataclass
class Outcome:
    """A row: an architecture, and what came of it.

    Attributes
    ----------
    source, family, name : str
        The architecture.
    size : int
        Side of its images in pixels.
    quick : bool
        Whether it belongs to the quick tier.
    outcome : str
        The worst of all parts, one of `ORDER`.
    layers : int
        Number of layers; `compared` is how many of them were equal to what hooks of the suite's own saw.
    warnings : str
        Kinds of warnings that came, with the number of each.
    cam : str
        The layer of Grad-CAM by default, and its rows and columns.
    guided : str
        What guided backpropagation reached.
    crop : str
        ``"equal"`` if a unit's picture from a window equals that from the whole image; ``"whole"`` where there is no window.
    part : str
        The parts that failed.
    reason : str
        What each of them said.
    seconds : float
        Time of the processor for all parts; not compared.
    """

    source: str
    family: str
    name: str
    size: int
    quick: bool = False
    outcome: str = "wrapped"
    layers: int = 0
    compared: int = 0
    warnings: str = ""
    cam: str = ""
    guided: str = ""
    crop: str = ""
    part: str = ""
    reason: str = ""
    seconds: float = 0.0

    @property
    def key(self) -> str:
        return f"{self.source}:{self.name}"

    def add(self, outcome: str, part: str, reason: str) -> None:
        """Take note of a part."""
        if ORDER.index(outcome) > ORDER.index(self.outcome):
            self.outcome = outcome
        if outcome not in ("wrapped", "warned"):
            self.part = ", ".join(filter(None, [self.part, part]))
            self.reason = " | ".join(
                filter(None, [self.reason, f"{part}: {outcome}: " + " ".join(reason.split())[:400]])
            )

    def compared_with(self, other: Outcome) -> dict[str, tuple[object, object]]:
        """Return the fields in which two rows differ, without those that vary from run to run."""
        mine, theirs = asdict(self), asdict(other)
        kept = [key for key in mine if key not in ("reason", "seconds")]
        return {key: (theirs[key], mine[key]) for key in kept if mine[key] != theirs[key]}


def read(path: Path = TABLE) -> dict[str, Outcome]:
    """Read the table, by key; empty if there is none."""
    if not path.exists():
        return {}
    kinds = {
        item.name: {"int": int, "float": float, "bool": "True".__eq__}.get(str(item.type), str)
        for item in fields(Outcome)
    }
    with path.open(newline="") as file:
        rows = [Outcome(**{key: kinds[key](value) for key, value in row.items()}) for row in csv.DictReader(file)]
    return {row.key: row for row in rows}


def write(rows: Iterable[Outcome], path: Path = TABLE) -> None:
    """Write the table."""
    with path.open("w", newline="") as file:
        writer = csv.DictWriter(file, [item.name for item in fields(Outcome)], lineterminator="\n")
        writer.writeheader()
        writer.writerows(asdict(row) for row in rows)
