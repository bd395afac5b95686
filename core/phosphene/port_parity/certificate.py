"""The rows of a comparison, and its result as a sentence, a table and a JSON certificate."""

from __future__ import annotations

import math
import textwrap
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from phosphene.layers import OUTPUT
from phosphene.words import aligned, breadth, plain_message

if TYPE_CHECKING:
    from phosphene.port_parity.call import Parity

__all__ = ["Row", "certificate", "number", "related", "sentence", "table", "verdict_of"]

FORMAT = 1
MOST_NAMED = 6
CHANCE = 2.0
"""Factor by which gradients may exceed the largest effect of rounding in a few samples."""


@dataclass(frozen=True)
class Row:
    """The comparison of one pair of layers.

    Attributes
    ----------
    a, b : str
        Path in each network.
    how : str
        How the layers were matched: "given", "path", "name" or "alignment".
    shape : tuple of int
        Channel-last shape in the first network.
    relative : float
        Largest absolute difference, divided by the largest absolute value in the first network.
    mean : float
        Mean absolute difference, divided by the mean absolute value in the first network.
    cosine : float
        Cosine between the two activations.
    own : float or None
        `relative` if the second network's layer is run on the first network's activations, so that earlier differences have no
        effect; None if the networks agree everywhere.
    gradient : float or None
        Relative difference of the gradients of the layer's mean square with respect to the image; None if not computed.
    floor : float or None
        Relative difference between gradients of the first network for images that differ by rounding, which rectifiers and
        maxima amplify. None if it was not needed to judge the gradients.
    nonfinite : (int, int)
        Number of values in each network that are NaN or infinite.
    equal : bool
        Whether `relative` is within the tolerance.
    fault : bool
        Whether the layer differs even if given equal inputs: neither `relative` nor `own` is within the tolerance.
    follows : str, optional
        For a layer that differs only because of earlier ones: the last fault before it.
    beside : tuple of str
        Unmatched layers of the second network inside this layer, or between it and the matched layer before it. The cause of
        the fault may be one of them.
    """

    a: str
    b: str
    how: str
    shape: tuple[int, ...]
    relative: float
    mean: float
    cosine: float
    own: float | None
    gradient: float | None
    floor: float | None
    nonfinite: tuple[int, int]
    equal: bool
    fault: bool = False
    follows: str | None = None
    beside: tuple[str, ...] = ()

    def slopes_agree(self, tolerance: float) -> bool:
        """Whether the gradient, if it was computed, agrees within the tolerance or within twice the floor."""
        return self.gradient is None or self.gradient <= max(tolerance, CHANCE * (self.floor or 0.0))


def related(rows: Sequence[Row], order: Sequence[str]) -> tuple[Row, ...]:
    """Return the rows with `follows` and `beside` set."""
    place = {path: index for index, path in enumerate(order)}
    matched = {row.b for row in rows}
    fault: str | None = None
    related = []
    for row in rows:
        if row.fault:
            fault = row.a
            start = place[row.b]
            while start and order[start - 1] not in matched:
                start -= 1
            inside = f"{row.b}."
            beside = (
                path
                for index, path in enumerate(order[: place[row.b]])
                if path not in matched and (index >= start or path.startswith(inside))
            )
            related.append(replace(row, beside=tuple(beside)))
        else:
            related.append(row if row.equal else replace(row, follows=fault))
    return tuple(related)


def sentence(parity: Parity) -> str:
    """Return the result in one sentence."""
    rows = parity.rows
    if any(not row.equal for row in rows):
        text = _parting(parity)
    else:
        worst = max(rows, key=lambda row: row.relative)
        largest = f"largest difference {number(worst.relative)} at {worst.a}"
        all_layers = f"equal at {'all ' if len(rows) > 1 else ''}{_count(len(rows), 'matched layer')}"
        off = next((row for row in rows if not row.slopes_agree(parity.tolerance)), None)
        steepest = max(rows, key=lambda row: row.gradient or 0.0)
        if off is not None:
            text = (
                f"{all_layers} ({largest}), but gradients of the image differ first at {off.a} ({number(off.gradient)})"
            )
        elif steepest.gradient is None:
            text = f"{all_layers}: {largest}"
        elif steepest.gradient <= parity.tolerance:
            text = f"{all_layers}: {largest}, and of gradients {number(steepest.gradient)} at {steepest.a}"
        else:
            text = (
                f"{all_layers}: {largest}, and of gradients {number(steepest.gradient)} at {steepest.a}, where rounding alone "
                f"changes them by {number(steepest.floor)}"
            )
    sick = [row for row in rows if any(row.nonfinite)]
    if sick:
        first = sick[0]
        text += (
            f"; {_count(len(sick), 'layer')} {'has' if len(sick) == 1 else 'have'} values that are NaN or infinite, first "
            f"{first.a} ({first.nonfinite[0]} in one network and {first.nonfinite[1]} in the other)"
        )
    alone = len(parity.unmatched)
    return f"{text}; {_count(alone, 'layer')} {'is' if alone == 1 else 'are'} unmatched" if alone else text


def table(parity: Parity) -> str:
    """Return the sentence, one row per pair, and the unmatched layers."""
    a, b = parity.networks
    lines = [
        f"{_title(a)} and {_title(b)} on {_count(parity.images['count'], 'image')}, tolerance {parity.tolerance:g}:",
        sentence(parity) + ".",
        "",
    ]
    heads = ("layer", "in the other", "shape", "relative", "mean", "cosine", "gradient", "verdict")
    cells: list[tuple[str, ...]] = [heads]
    cells += [
        (
            row.a,
            "" if row.b == row.a else row.b,
            " x ".join(map(str, row.shape)),
            number(row.relative),
            number(row.mean),
            f"{row.cosine:.6f}",
            "" if row.gradient is None else number(row.gradient),
            verdict_of(row),
        )
        for row in parity.rows
    ]
    for column in (0, 1):
        names = aligned(row[column] for row in cells)
        cells = [(*row[:column], name, *row[column + 1 :]) for row, name in zip(cells, names, strict=True)]
    shown = [column for column in range(len(heads)) if column == 7 or any(row[column].strip() for row in cells[1:])]
    widths = {column: max(breadth(row[column]) for row in cells) for column in shown}
    right = {2, 3, 4, 5, 6}
    for index, row in enumerate(cells):
        parts = [f"{row[c]:>{widths[c]}}" if c in right else row[c] for c in shown]
        lines.append("  ".join(parts).rstrip())
        if index == 0:
            lines.append("  ".join("-" * widths[column] for column in shown))
    for side, network in zip("ab", parity.networks, strict=True):
        left = [item for item in parity.unmatched if item.network == side]
        if left:
            lines += ["", f"{_count(len(left), 'unmatched layer')} of {_title(network)}:"]
            by_reason: dict[str, list[str]] = {}
            for item in left:
                by_reason.setdefault(item.reason, []).append(item.path)
            for reason, paths in by_reason.items():
                lines.append(f"  {reason}:")
                lines += textwrap.wrap(", ".join(paths), 110, initial_indent="    ", subsequent_indent="    ")
    return plain_message("\n".join(lines))


def certificate(parity: Parity) -> dict[str, Any]:
    """See `phosphene.port_parity.call.Parity.certificate`."""
    return {
        "format": FORMAT,
        "kind": "phosphene parity",
        "equal": parity.equal,
        "verdict": sentence(parity) + ".",
        "date": parity.date,
        "tolerance": parity.tolerance,
        "networks": [dict(network) for network in parity.networks],
        "images": dict(parity.images),
        "parted": parity.parted,
        "faults": [
            {
                "layer": row.a,
                "in_other": row.b,
                "relative": _plain(row.relative),
                "own": _plain(row.own),
                "unmatched_before": list(row.beside),
            }
            for row in parity.rows
            if row.fault
        ],
        "table": [
            {
                "layer": row.a,
                "in_other": row.b,
                "matched_by": row.how,
                "shape": list(row.shape),
                "relative": _plain(row.relative),
                "mean": _plain(row.mean),
                "cosine": _plain(row.cosine),
                "own": _plain(row.own),
                "gradient": _plain(row.gradient),
                "gradient_floor": _plain(row.floor),
                "nonfinite": list(row.nonfinite),
                "equal": row.equal,
                "verdict": verdict_of(row),
            }
            for row in parity.rows
        ],
        "unmatched": [
            {
                "network": 0 if item.network == "a" else 1,
                "layer": item.path,
                "kind": item.kind,
                "shape": list(item.shape),
                "reason": item.reason,
            }
            for item in parity.unmatched
        ],
    }


def verdict_of(row: Row) -> str:
    """Return the verdict on one layer."""
    if row.equal:
        return "equal"
    if math.isnan(row.relative):
        return "no finite values"
    if row.fault:
        return "differs here"
    return "accumulated difference" if row.follows is None else f"follows from {row.follows}"


def number(value: float | None) -> str:
    """Format a relative difference with two digits."""
    if value is None or math.isnan(value):
        return "nan"
    return "0" if value == 0 else f"{value:.1e}" if value < 1e-3 or value >= 1e3 else f"{value:.2g}"


def _parting(parity: Parity) -> str:
    parted = [row for row in parity.rows if not row.equal]
    faults = [row for row in parity.rows if row.fault]
    first = parted[0]
    text = f"differ first at {first.a} ({number(first.relative)})"
    if not faults:
        worst = max(parted, key=lambda row: row.own or 0.0)
        return (
            f"{text}, but no layer differs if given equal inputs: small differences accumulate, the largest being "
            f"{number(worst.own)} at {worst.a}"
        )
    others = [row.a for row in faults if row is not first]
    if others:
        named = ", ".join(others[:MOST_NAMED]) + (", ..." if len(others) > MOST_NAMED else "")
        text += f" and independently at {_count(len(others), 'other layer')}: {named}"
    following = len(parted) - len(faults)
    if following:
        differ = "differs" if following == 1 else "differ"
        if len(faults) == 1:
            text += f"; {_count(following, 'layer')} after it {differ} because of it"
        else:
            text += f"; {_count(following, 'layer')} {differ} because of them"
    output = next((row for row in parity.rows if row.a == OUTPUT), None)
    if output is not None and output.equal:
        text += f"; the outputs agree ({number(output.relative)})"
    if first.a == parity.rows[0].a and any(
        parity.networks[0][key] != parity.networks[1][key] for key in ("range", "mean", "std")
    ):
        text += "; the networks normalise images differently"
    return text


def _title(network: Any) -> str:
    return f"{network['network']} ({network['backend']}, {network['dtype']})"


def _count(number: int, noun: str) -> str:
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


def _plain(value: float | None) -> float | None:
    """Return None for NaN and infinity, which JSON does not have."""
    return value if value is not None and math.isfinite(value) else None
