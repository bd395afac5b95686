"""The result of a benchmark: its rows, a table of them, and a summary in one sentence."""

from __future__ import annotations

import json
import statistics
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, ClassVar

from phosphene.kit.result import Result
from phosphene.types import Size
from phosphene.words import plain_message

__all__ = ["Benchmark", "Row"]


@dataclass(frozen=True)
class Row:
    """One combination and its measurements, or the reason why there are none.

    Attributes
    ----------
    backend : str
    device, dtype : str or None
        None if the backend does not support the model at all.
    batch : int or None
        Number of pictures per batch; None if the model could not be loaded.
    seconds : tuple of float
        Seconds per step of the whole batch, one value per round.
    first_seconds : float or None
        Wall time of the first run in seconds, including compilation.
    peak_bytes : int or None
        Peak memory of a run in bytes, in addition to the memory in use before it (mainly weights); None if the framework does
        not report it. JAX reports it only if it exceeds the peak of all earlier runs.
    reason : str
        Why nothing was measured; empty if it was.
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
        """Median of the seconds per step; NaN if nothing was measured."""
        return statistics.median(self.seconds) if self.seconds else float("nan")

    @property
    def images_per_second(self) -> float:
        """Gradient evaluations per second, by the median; NaN if nothing was measured."""
        return (self.batch or 0) / self.median

    @property
    def combination(self) -> tuple[str, str | None, str | None]:
        """Backend, device and precision."""
        return self.backend, self.device, self.dtype

    def __str__(self) -> str:
        where = " ".join(part for part in self.combination if part)
        return where if self.batch is None else f"{where}, batch {self.batch}"


@dataclass(frozen=True)
class Benchmark(Result):
    """How fast pictures of a model are rendered on each combination; prints as a table and a sentence.

    Attributes
    ----------
    model, layer : str
        Name of the model and path of the layer.
    size : (int, int)
        Height and width of the pictures in pixels.
    steps, rounds : int
        Number of steps timed in each run, and of runs of each combination.
    rows : tuple of Row
        All combinations, measured or not, in the order in which they were run.
    versions : mapping
        Versions of the packages.
    machine : mapping
        System, processors, and the value of ``OMP_NUM_THREADS`` as "threads".
    date : str
        Date and time in ISO 8601 format, UTC.
    """

    kind: ClassVar[str] = "benchmark"
    endings: ClassVar[tuple[str, ...]] = (".json", ".npz")

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
        """The rows that were measured, from most to fewest images per second."""
        return tuple(sorted((row for row in self.rows if row.seconds), key=lambda row: -row.images_per_second))

    @property
    def fastest(self) -> Row | None:
        """The row with the most images per second; None if nothing was measured before the benchmark was stopped."""
        return next(iter(self.measured), None)

    @property
    def verdict(self) -> str:
        """The result in one sentence: which combination is fastest, and by what ratio."""
        best = self.fastest
        if best is None:
            return "Nothing was measured."
        text = f"{best} is fastest: {_rate(best.images_per_second)} images per second"
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
        """Return a plain-text table, the summary, and the combinations that are not available with the reasons."""
        head = (
            "backend",
            "device",
            "dtype",
            "batch",
            "ms per step",
            "min to max",
            "images/s",
            "vs fastest",
            "first run",
            "memory",
        )
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
                    "unknown" if row.peak_bytes is None else f"{row.peak_bytes / 2**20:,.0f} MiB",
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
        notes = [f"OMP_NUM_THREADS={threads} limits the CPU threads of PyTorch, but not those of JAX."] if bound else []
        return "\n".join([title, "", *lines, "", self.verdict, *notes, *missing])

    def _text(self, ending: str) -> str:
        rows = [
            asdict(row)
            | ({"median_seconds": row.median, "images_per_second": row.images_per_second} if row.seconds else {})
            for row in self.rows
        ]
        best = None if self.fastest is None else self.rows.index(self.fastest)
        content = {**vars(self), "rows": rows, "fastest": best, "verdict": self.verdict}
        return json.dumps(content, indent=1, allow_nan=False)

    def __repr__(self) -> str:
        return plain_message(self.table())


def _milliseconds(seconds: float) -> str:
    value = 1e3 * seconds
    return f"{value:.2f}" if value < 10 else f"{value:.1f}" if value < 100 else f"{value:,.0f}"


def _rate(images: float) -> str:
    return f"{images:,.0f}" if images >= 100 else f"{images:.3g}"
