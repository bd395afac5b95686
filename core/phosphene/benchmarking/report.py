"""What a benchmark found: rows, a table of them, and the finding in a sentence."""

from __future__ import annotations

import json
import statistics
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from phosphene.errors import InvalidParameter
from phosphene.types import Size
from phosphene.writing import check_writable, write_whole

__all__ = ["Benchmark", "Row"]


@dataclass(frozen=True)
class Row:
    """One combination: what was measured, or why it could not be.

    Attributes
    ----------
    backend : str
    device, dtype : str or None
        None where the backend has none of them for this model.
    batch : int or None
        Pictures at a time; None where the model could not be loaded.
    seconds : tuple of float
        A step of the whole batch, one value a round.
    first_seconds : float or None
        Wall time of the first run, compilation included.
    peak_bytes : int or None
        Most memory that a run took beyond what was held before it (weights, above all); None where the framework does not
        tell. JAX tells only what exceeds the most so far.
    reason : str
        Why nothing was measured; empty where it was.
    """

    backend: str
    device: str | None
    dtype: str | None
    batch: int | None = None
    seconds: tuple[float, ...] = ()
    first_seconds: float | None = None
    peak_bytes: int | None = None
    reason: str = ""

    @property
    def median(self) -> float:
        """Median seconds a step; NaN where nothing was measured."""
        return statistics.median(self.seconds) if self.seconds else float("nan")

    @property
    def images_per_second(self) -> float:
        """Gradient evaluations a second, by the median; NaN where nothing was measured."""
        return (self.batch or 0) / self.median

    @property
    def combination(self) -> tuple[str, str | None, str | None]:
        """Backend, device and precision."""
        return self.backend, self.device, self.dtype

    def __str__(self) -> str:
        where = " ".join(part for part in self.combination if part)
        return where if self.batch is None else f"{where}, batch {self.batch}"


@dataclass(frozen=True)
class Benchmark:
    """How fast a model's renders are on each combination; prints as a table with the finding below it.

    Attributes
    ----------
    model, layer : str
    size : (int, int)
        Height and width of the pictures.
    steps, rounds : int
        Steps timed in each run, and runs of each combination.
    rows : tuple of Row
        Measured or not, in the order in which they took their turns.
    versions : mapping
        Of what took part.
    machine : mapping
        What it ran on: system, processors, and ``OMP_NUM_THREADS`` as "threads".
    date : str
        ISO 8601, UTC.
    """

    model: str
    layer: str
    size: Size
    steps: int
    rounds: int
    rows: tuple[Row, ...]
    versions: Mapping[str, str]
    machine: Mapping[str, Any]
    date: str

    @property
    def measured(self) -> tuple[Row, ...]:
        """Rows with times, the fastest in images a second first."""
        return tuple(sorted((row for row in self.rows if row.seconds), key=lambda row: -row.images_per_second))

    @property
    def fastest(self) -> Row | None:
        """The row of most images a second; None when a run was stopped before anything was measured."""
        return next(iter(self.measured), None)

    @property
    def verdict(self) -> str:
        """The finding in one plain sentence: which is fastest, and by what ratio."""
        best = self.fastest
        if best is None:
            return "Nothing was measured."
        text = f"{best} is fastest: {_rate(best.images_per_second)} images a second"
        other = next((row for row in self.measured if row.combination != best.combination), None)
        if other is None:
            return f"{text}; nothing else could be compared with it."
        ratio = best.images_per_second / other.images_per_second
        text += f", {ratio:.2f} times the next combination ({other})"
        if max(best.seconds) / (best.batch or 1) >= min(other.seconds) / (other.batch or 1):
            text += ", which is within the spread of the rounds"
        slowest = min(
            (
                next(row for row in self.measured if row.combination == one)
                for one in {row.combination for row in self.measured}
            ),
            key=lambda row: row.images_per_second,
        )
        if slowest is not other:
            text += f", and {best.images_per_second / slowest.images_per_second:.2f} times the slowest ({slowest})"
        return f"{text}."

    def table(self) -> str:
        """What was measured as a table in plain text, the finding, and what is not available and why."""
        head = ("backend", "device", "dtype", "batch", "ms a step", "least to most", "images/s", "of the fastest",
                "first run", "memory")  # fmt: skip
        best = self.fastest
        cells: list[tuple[str, ...]] = [head]
        for row in self.rows:
            if not row.seconds or best is None:
                continue
            least, most = (_milliseconds(pick(row.seconds)) for pick in (min, max))
            cells.append(
                (
                    *map(str, row.combination),
                    str(row.batch),
                    _milliseconds(row.median),
                    f"{least} to {most}",
                    _rate(row.images_per_second),
                    f"{row.images_per_second / best.images_per_second:.0%}",
                    f"{row.first_seconds or 0.0:.1f} s",
                    "not told" if row.peak_bytes is None else f"{row.peak_bytes / 2**20:,.0f} MiB",
                )
            )
        widths = [max(len(row[column]) for row in cells) for column in range(len(head))]
        lines = [
            "  ".join(
                f"{text:{side}{width}}" for text, side, width in zip(row, "<<<>>>>>>>", widths, strict=True)
            ).rstrip()
            for row in cells
        ]
        lines.insert(1, "  ".join("-" * width for width in widths))
        height, width = self.size
        title = (
            f"{self.model}: steps of a render at {self.layer}, {height} x {width}, median of {self.rounds} rounds "
            f"of {self.steps} steps"
        )
        missing = [f"not available: {row}: {row.reason}" for row in self.rows if row.reason]
        threads = self.machine.get("threads")
        bound = any(row.device == "cpu" and row.backend == "torch" for row in self.measured) and threads
        notes = (
            [f"OMP_NUM_THREADS={threads} bounds the threads of PyTorch on the CPU, not those of JAX."] if bound else []
        )
        return "\n".join([title, "", *lines, "", self.verdict, *notes, *missing])

    def save(self, path: str | Path) -> Path:
        """Write all of it as JSON, whole or not at all.

        Raises
        ------
        InvalidParameter
            For another ending than ``.json``.
        UnwritablePath
            When the place cannot be written.
        """
        target = Path(path)
        if target.suffix != ".json":
            raise InvalidParameter(
                "path", allowed="a name that ends in .json", received=str(path),
                fix=f"For example {target.with_suffix('.json')}.",
            )  # fmt: skip
        rows = [
            asdict(row)
            | ({"median_seconds": row.median, "images_per_second": row.images_per_second} if row.seconds else {})
            for row in self.rows
        ]
        best = None if self.fastest is None else self.rows.index(self.fastest)
        content = {**vars(self), "rows": rows, "fastest": best, "verdict": self.verdict}
        check_writable(target)
        write_whole(target, json.dumps(content, indent=1, allow_nan=False).encode())
        return target

    def __repr__(self) -> str:
        return self.table()


def _milliseconds(seconds: float) -> str:
    value = 1e3 * seconds
    return f"{value:.2f}" if value < 10 else f"{value:.1f}" if value < 100 else f"{value:,.0f}"


def _rate(images: float) -> str:
    return f"{images:,.0f}" if images >= 100 else f"{images:.3g}"
