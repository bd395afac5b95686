"""A comparison of two networks row by row, and in words: one sentence, a table, a JSON certificate."""

from __future__ import annotations

import io
import json
import math
import textwrap
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from phosphene.layers import OUTPUT

if TYPE_CHECKING:
    from phosphene.audit.parity import Parity

__all__ = ["Row", "certificate", "content", "number", "related", "sentence", "table", "verdict_of"]

FORMAT = 1
MOST_NAMED = 6
CHANCE = 2.0
"""Gradients may differ by so many times what rounding did to them in a few draws: it may do worse in another."""


@dataclass(frozen=True)
class Row:
    """One layer of both networks.

    Attributes
    ----------
    a, b : str
        Its path in each.
    how : str
        How they were matched: "given", "path", "name" or "alignment".
    shape : tuple of int
        Channel-last, in the first network.
    relative : float
        Largest absolute difference, in units of the largest absolute value in the first network.
    mean : float
        Mean absolute difference, in units of the mean absolute value in the first network.
    cosine : float
    own : float or None
        `relative` when the second network's layer is given the first one's activations at all layers before it, so that no
        earlier difference reaches it; None unless the networks part somewhere.
    gradient : float or None
        Relative difference of the image's gradient of the layer's mean square; None where it was not taken.
    floor : float or None
        The same between the first network and itself, for images that are moved by as much as rounding does: what rectifiers
        and maxima at a tie make of it. None unless it was needed to judge gradients.
    nonfinite : (int, int)
        Values in each network that are NaN or infinite.
    equal : bool
        Whether `relative` is within the tolerance.
    fault : bool
        Whether the layer parts of itself: neither `relative` nor `own` is within the tolerance.
    follows : str, optional
        For a layer that parts only because of others: the last fault before it.
    beside : tuple of str
        Layers of the second network without a partner, within this one or between it and the one before: its fault may lie in
        these.
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
        """Whether its gradient, if it was taken, agrees within the tolerance, or within twice the floor."""
        return self.gradient is None or self.gradient <= max(tolerance, CHANCE * (self.floor or 0.0))


def related(rows: Sequence[Row], order: Sequence[str]) -> tuple[Row, ...]:
    """Rows that know what they follow from; faults know which layers without a partner lie just before them."""
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
    """The finding in one plain sentence."""
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
                f"{all_layers} ({largest}), but gradients of the image part first at {off.a} ({number(off.gradient)})"
            )
        elif steepest.gradient is None:
            text = f"{all_layers}: {largest}"
        elif steepest.gradient <= parity.tolerance:
            text = f"{all_layers}: {largest}, of gradients {number(steepest.gradient)} at {steepest.a}"
        else:
            text = (
                f"{all_layers}: {largest}, of gradients {number(steepest.gradient)} at {steepest.a}, where rounding alone "
                f"moves them by {number(steepest.floor)}"
            )
    sick = [row for row in rows if any(row.nonfinite)]
    if sick:
        first = sick[0]
        text += (
            f"; {_count(len(sick), 'layer')} with values that are NaN or infinite, first {first.a} "
            f"({first.nonfinite[0]} and {first.nonfinite[1]} values)"
        )
    alone = len(parity.unmatched)
    return f"{text}; {_count(alone, 'layer')} {'has' if alone == 1 else 'have'} no partner" if alone else text


def table(parity: Parity) -> str:
    """The sentence, a row a pair, and what has no partner."""
    a, b = parity.networks
    lines = [
        f"{_title(a)} and {_title(b)} on {_count(parity.images['count'], 'image')}, tolerance {parity.tolerance:g}:",
        sentence(parity) + ".",
        "",
    ]
    heads = ("layer", "in the other", "shape", "relative", "mean", "cosine", "gradient", "verdict")
    cells = [heads] + [
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
    shown = [column for column in range(len(heads)) if column == 7 or any(row[column] for row in cells[1:])]
    widths = {column: max(len(row[column]) for row in cells) for column in shown}
    right = {2, 3, 4, 5, 6}
    for index, row in enumerate(cells):
        parts = [f"{row[c]:>{widths[c]}}" if c in right else f"{row[c]:<{widths[c]}}" for c in shown]
        lines.append("  ".join(parts).rstrip())
        if index == 0:
            lines.append("  ".join("-" * widths[column] for column in shown))
    for side, network in zip("ab", parity.networks, strict=True):
        left = [item for item in parity.unmatched if item.network == side]
        if left:
            lines += ["", f"{_count(len(left), 'layer')} of {_title(network)} without a partner:"]
            by_reason: dict[str, list[str]] = {}
            for item in left:
                by_reason.setdefault(item.reason, []).append(item.path)
            for reason, paths in by_reason.items():
                lines.append(f"  {reason}:")
                lines += textwrap.wrap(", ".join(paths), 110, initial_indent="    ", subsequent_indent="    ")
    return "\n".join(lines)


def certificate(parity: Parity) -> dict[str, Any]:
    """See `phosphene.audit.parity.Parity.certificate`."""
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


def content(parity: Parity, ending: str) -> bytes:
    """What is written into a file of that ending."""
    if ending == "json":
        return (json.dumps(certificate(parity), indent=2, allow_nan=False) + "\n").encode()
    buffer = io.BytesIO()
    parity.plot().savefig(buffer, format=ending, dpi=200)
    return buffer.getvalue()


def verdict_of(row: Row) -> str:
    """What is said of one layer."""
    if row.equal:
        return "equal"
    if math.isnan(row.relative):
        return "nothing finite to compare"
    if row.fault:
        return "parts here"
    return "parts by what adds up" if row.follows is None else f"follows from {row.follows}"


def number(value: float | None) -> str:
    """Two digits of a relative difference."""
    if value is None or math.isnan(value):
        return "nan"
    return "0" if value == 0 else f"{value:.1e}" if value < 1e-3 or value >= 1e3 else f"{value:.2g}"


def _parting(parity: Parity) -> str:
    parted = [row for row in parity.rows if not row.equal]
    faults = [row for row in parity.rows if row.fault]
    first = parted[0]
    text = f"part first at {first.a} ({number(first.relative)})"
    if not faults:
        worst = max(parted, key=lambda row: row.own or 0.0)
        return (
            f"{text}, but at no layer of itself: small differences add up, the largest own one is {number(worst.own)} "
            f"at {worst.a}"
        )
    others = [row.a for row in faults if row is not first]
    if others:
        named = ", ".join(others[:MOST_NAMED]) + (", ..." if len(others) > MOST_NAMED else "")
        text += f" and independently at {len(others)} more: {named}"
    following = len(parted) - len(faults)
    if following:
        differ = "differs" if following == 1 else "differ"
        if len(faults) == 1:
            text += f"; {_count(following, 'layer')} after it {differ} because of it"
        else:
            text += f"; {_count(following, 'other')} {differ} because of them"
    output = next((row for row in parity.rows if row.a == OUTPUT), None)
    if output is not None and output.equal:
        text += f"; the outputs agree ({number(output.relative)})"
    if first.a == parity.rows[0].a and any(
        parity.networks[0][key] != parity.networks[1][key] for key in ("range", "mean", "std")
    ):
        text += "; their images are normalised differently"
    return text


def _title(network: Any) -> str:
    return f"{network['network']} ({network['backend']}, {network['dtype']})"


def _count(number: int, noun: str) -> str:
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


def _plain(value: float | None) -> float | None:
    """JSON knows neither NaN nor infinity."""
    return value if value is not None and math.isfinite(value) else None
