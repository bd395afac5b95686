"""Figures, tables and pages of the other results. Written whole or not at all."""

from __future__ import annotations

import io
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from phosphene.errors import InvalidParameter
from phosphene.results import Attribution, Embedding, TrustCards, Units
from phosphene.writing import check_writable, write_whole

__all__ = ["figure_bytes", "save_attribution", "save_embedding", "save_figure", "save_trust_cards", "save_units"]

FORMAT = 1


def save_figure(draw: Callable[[], Any], path: str | Path, *others: str) -> Path:
    """What `draw` makes, a matplotlib figure, in a ``.png``, ``.svg`` or ``.pdf``; errors name what `others` the caller takes.

    Raises
    ------
    InvalidParameter
        For another ending.
    UnwritablePath
        When it cannot be written; nothing is drawn then.
    """
    target = Path(path)
    if target.suffix not in (".png", ".svg", ".pdf"):
        raise InvalidParameter(
            "path",
            allowed=f"a name that ends in {', '.join((*others, '.png', '.svg'))} or .pdf",
            received=str(path),
            fix="A figure is one of these.",
        )
    check_writable(target)
    write_whole(target, figure_bytes(draw(), target.suffix[1:]))
    return target


def save_units(found: Units, path: str | Path) -> Path:
    """See `Units.save`."""

    def page() -> str:
        from phosphene.pages.units import units_page

        return units_page(found)

    return _save_report(path, found.table, page, found.plot)


def save_trust_cards(found: TrustCards, path: str | Path) -> Path:
    """See `TrustCards.save`."""

    def page() -> str:
        from phosphene.pages.trust_cards import trust_page

        return trust_page(found)

    return _save_report(path, found.table, page, found.plot)


def save_embedding(found: Embedding, path: str | Path, labels: ArrayLike | None, **options: Any) -> Path:
    """See `Embedding.save`."""
    target = Path(path)
    if target.suffix != ".npz":
        return save_figure(lambda: found.plot(labels, **options), target, ".npz")
    check_writable(target)
    words = {
        name: getattr(found, name)
        for name in ("method", "source", "layer", "trustworthiness", "neighbours", "settings")
    }
    arrays: dict[str, Any] = {} if labels is None else {"labels": np.asarray(labels)}
    buffer = io.BytesIO()
    metadata = np.asarray(json.dumps({"format": FORMAT, **words}))
    np.savez_compressed(buffer, points=found.points, variance=found.variance, metadata=metadata, **arrays)
    write_whole(target, buffer.getvalue())
    return target


def save_attribution(found: Attribution, path: str | Path) -> Path:
    """See `Attribution.save`."""
    target = Path(path)
    if target.suffix != ".npz":
        return save_figure(found.plot, target, ".npz")
    check_writable(target)
    arrays: dict[str, Any] = {name: getattr(found, name) for name in ("images", "raw", "maps", "values")}
    for kind in ("scores", "curves", "sanity"):
        arrays |= {f"{kind}/{name}": value for name, value in getattr(found, kind).items()}
    kept = ("labels", "method", "source", "signed", "layer", "coverage", "settings")
    words = {"format": FORMAT, **{name: getattr(found, name) for name in kept}}
    buffer = io.BytesIO()
    np.savez_compressed(buffer, **arrays, metadata=np.asarray(json.dumps(words)))
    write_whole(target, buffer.getvalue())
    return target


def figure_bytes(figure: Any, kind: str) -> bytes:
    """A matplotlib figure as the bytes of a "png", "svg" or "pdf"; equal figures give equal bytes."""
    import matplotlib as mpl

    buffer = io.BytesIO()
    # Dates, and the salt of SVG's identifiers, would differ each time.
    undated = {"png": {}, "svg": {"Date": None}, "pdf": {"CreationDate": None}}[kind]
    with mpl.rc_context({"svg.hashsalt": "phosphene"}):
        figure.savefig(buffer, format=kind, dpi=200, metadata=undated)
    return buffer.getvalue()


def _save_report(path: str | Path, table: Callable[[], str], page: Callable[[], str], plot: Callable[[], Any]) -> Path:
    """A table as ``.csv``, a page as ``.html``, or a figure."""
    target = Path(path)
    if target.suffix not in (".csv", ".html"):
        return save_figure(plot, target, ".csv", ".html")
    check_writable(target)
    write_whole(target, (table() if target.suffix == ".csv" else page()).encode())
    return target
