"""Write an atlas as a page, or show it in a notebook."""

from __future__ import annotations

import html
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import quote

import numpy as np

from phosphene.atlas.atlas import Atlas, an_atlas
from phosphene.atlas.viewer.columns import Columns, default_crop, gather, narrow
from phosphene.atlas.viewer.document import document
from phosphene.atlas.viewer.payload import Block, choose_quality, pack_columns, pack_sheets, part
from phosphene.atlas.viewer.sprites import Sheet, share_of
from phosphene.errors import InvalidParameter, nearest, said
from phosphene.kit.checks import listed, number, text
from phosphene.kit.checks import names as names_in
from phosphene.kit.places import given_path
from phosphene.kit.writing import check_writable, write_whole

__all__ = ["notebook_frame", "view"]

FORMAT = 1

NOTEBOOK_MB = 12.0

BESIDE = ".files"
"""Suffix of the folder beside a page, after the name of the page."""

OWN = re.compile(r"(?:icon|more|patch)-[0-9-]+-[0-9a-f]{10}\.js")


def view(
    atlas: Atlas,
    path: str | Path,
    *,
    layers: Sequence[str] | str | None = None,
    beside: Mapping[str, Atlas] | None = None,
    max_mb: float = 25.0,
    crop: float | Mapping[str, float] | None = None,
    title: str | None = None,
) -> Path:
    """Write an atlas as one interactive page that opens from a file, to explore, search and share.

    Parameters
    ----------
    atlas : Atlas
        An atlas with a map of at least one layer; see `phosphene.atlas.chart`. Icons, labels, clusters and patches are shown if
        available; a level without pictures is coloured by class or region.
    path : str or Path
        Path of the page.
    layers : str or sequence of str, optional
        Layers to show, in this order (default: all with a map).
    beside : mapping of str to Atlas, optional
        Further atlases of the same images and classes, for example of another model or of a class (`class_atlas`), whose layers
        are shown as well, prefixed by the key. For each cell, the page shows where its images lie in them.
    max_mb : float, default 25.0
        Maximum size of the page in megabytes, at least 1. It determines the quality of the pictures. Pictures that do not fit
        (real patches first, then the finest levels) are written to a folder beside the page, named after it with the suffix
        ".files", and loaded on demand. The page also opens without that folder.
    crop : float or mapping of str to float, optional
        Central share of an icon's side that is shown, in (0, 1], for all layers or by layer, since a position hardly depends on
        the border of its icon (default: the size of the layer's real patches, else 0.625).
    title : str, optional
        Title of the page (default: the name of the network, else that of the atlas's folder).

    Returns
    -------
    Path
        `path`.

    Raises
    ------
    InvalidParameter
        For an unknown layer or one without a map, atlases of different images or classes, and other invalid parameters.
    UnwritablePath
        When the page cannot be written. An existing page is left unchanged.
    """
    given_path(path, "path")
    number("max_mb", max_mb, minimum=1, example=25)
    chosen = _layers(an_atlas(atlas), layers)
    _title(atlas, title)
    _crops(atlas, chosen, crop)
    if beside is not None and not (isinstance(beside, Mapping) and all(isinstance(name, str) for name in beside)):
        raise InvalidParameter(
            "beside", allowed="atlases by name", received=beside, fix='For example {"other": ph.Atlas.open("folder")}.'
        )
    for name, other in (beside or {}).items():
        an_atlas(other, f"beside[{name!r}]")
    target = check_writable(path)
    page, files = _made(atlas, layers, beside or {}, max_mb, crop, title, target.name)
    folder = target.parent / f"{target.name}{BESIDE}"
    for block in files:
        write_whole(folder / block.file, block.script)
    write_whole(target, page.encode())
    # Files of an earlier page of this name are no longer used.
    kept = {block.file for block in files}
    for old in folder.glob("*.js"):
        if OWN.fullmatch(old.name) and old.name not in kept:
            old.unlink()
    return target


def notebook_frame(atlas: Atlas) -> str | None:
    """The page as an inline frame for notebooks, limited in size; None for an atlas without a map."""
    if not any(name.startswith("grid.") for name in atlas.steps.names):
        return None
    page, _ = _made(atlas, None, {}, NOTEBOOK_MB, None, None, None)
    return (
        f'<iframe srcdoc="{html.escape(page)}" sandbox="allow-scripts" title="Activation atlas" width="100%" height="640" '
        'style="border:0;border-radius:12px"></iframe>'
    )


def _made(
    atlas: Atlas,
    layers: Sequence[str] | str | None,
    others: Mapping[str, Atlas],
    max_mb: float,
    crop: float | Mapping[str, float] | None,
    title: str | None,
    name: str | None,
) -> tuple[str, list[Block]]:
    """The text of the page, and the blocks beside it; a page without a file name has no files beside it."""
    chosen = _layers(atlas, layers)
    number("max_mb", max_mb, minimum=1, example=25)
    crops = _crops(atlas, chosen, crop)
    heading = _title(atlas, title)
    shown = [(0, atlas, layer, layer, crops[layer]) for layer in chosen]
    for source, (name_of, other) in enumerate(others.items(), start=1):
        _check_beside(atlas, other, name_of)
        shown += [
            (source, other, layer, f"{name_of} · {layer}", default_crop(other, layer)) for layer in _layers(other, None)
        ]
    gathered = [gather(each, layer, index, share) for index, (_, each, layer, _, share) in enumerate(shown)]
    points = [
        pack_columns(f"points-{index}", each) for index, each in enumerate(_image_columns([atlas, *others.values()]))
    ]
    packed, facts = [block for block, _ in points], []
    for index, each in enumerate(gathered):
        block, directory = pack_columns(f"data-{index}", each.columns)
        packed.append(block)
        source, _, _, called, _ = shown[index]
        facts.append(each.facts | {"name": called, "source": source, "columns": directory, "data": block.name})
    sheets: list[Sheet] = [sheet for each in gathered for sheet in each.sheets]
    room = max_mb * 1e6 - sum(len(block.text) for block in packed) - 300_000
    quality = choose_quality(sheets, room)
    inside, beside = part([*packed, *pack_sheets(sheets, quality)], max_mb * 1e6 - 300_000)
    # Columns first, then the initial layer, coarse to fine.
    start = len(chosen) - 1
    inside.sort(key=lambda block: (block.rank > 0, _layer_of(block) != start, block.rank))
    manifest = {
        "format": FORMAT,
        "title": heading,
        "classes": _classes(atlas, chosen),
        "start": start,
        "layers": facts,
        "points": atlas.store.manifest.rows,
        "images": [{"columns": where, "data": block.name} for block, where in points],
        "network": str(atlas.store.manifest.notes.get("network", "")),
        "atlas": atlas.identity,
        "blocks": {block.name: len(block.text) for block in [*inside, *beside]},
        "beside": {block.name: quote(f"{name}{BESIDE}/{block.file}") if name else "" for block in beside},
    }
    return document(heading, manifest, inside, bool(beside) and name is not None), beside


def _layer_of(block: Block) -> int:
    return int(block.name.rsplit("-", 2)[-2]) if block.rank else -1


def _layers(atlas: Atlas, layers: Sequence[str] | str | None) -> list[str]:
    cut = [layer for layer in atlas.layers if f"grid.{layer}" in atlas.steps.names]
    if not cut:
        raise InvalidParameter(
            "atlas",
            allowed="an atlas with a map of at least one layer",
            received=said(f"{atlas.folder} without any"),
            fix="Run phosphene.atlas.chart(atlas) first.",
        )
    chosen = cut if layers is None else list(names_in("layers", layers, fix="`Atlas.layers` lists them."))
    wrong = [layer for layer in chosen if layer not in cut]
    if wrong or not chosen or len(set(chosen)) < len(chosen):
        near = nearest(wrong[0], cut) if wrong else ""
        raise InvalidParameter(
            "layers",
            allowed=f"distinct layers with a map, at least one: {listed(cut)}",
            received=wrong[0] if wrong else chosen,
            fix=f"Did you mean {near}?" if near else "Leave it out to show all of them.",
        )
    return chosen


def _crops(atlas: Atlas, layers: list[str], crop: float | Mapping[str, float] | None) -> dict[str, float]:
    if not isinstance(crop, Mapping):
        return {layer: default_crop(atlas, layer) if crop is None else share_of(crop) for layer in layers}
    strange = [layer for layer in crop if layer not in layers]
    if strange:
        raise InvalidParameter(
            "crop",
            allowed=f"shares by layer, for {listed(layers)}",
            received=strange[0],
            fix="Give shares for layers that are shown.",
        )
    return {layer: share_of(crop[layer]) if layer in crop else default_crop(atlas, layer) for layer in layers}


def _title(atlas: Atlas, title: str | None) -> str:
    if title is not None:
        text("title", title, fix="Leave it out for the name of the network.")
    if title is not None and not title.strip():
        raise InvalidParameter(
            "title", allowed="a str that is not empty", received=title, fix="Leave it out for the name of the network."
        )
    return title or str(atlas.store.manifest.notes.get("network", "")) or atlas.folder.resolve().name or "Atlas"


def _classes(atlas: Atlas, layers: list[str]) -> list[str]:
    """Names of the classes with evidence; "class 0", "class 1", ... if they have no names."""
    arrays = atlas.store.manifest.arrays
    names = ["logits", *(f"attribution.{layer}" for layer in layers)]
    count = max((arrays[name].shape[0] for name in names if name in arrays), default=0)
    return list(atlas.classes)[:count] or [f"class {number}" for number in range(count)]


def _check_beside(atlas: Atlas, other: Atlas, name: str) -> None:
    """Raise `InvalidParameter` if two atlases are known to be of different images or different classes."""
    mine, theirs = (dict(each.store.manifest.identity).get("data") for each in (atlas, other))
    # An atlas from activations has digests of its arrays there; its images are not checked.
    if isinstance(mine, str) and isinstance(theirs, str) and mine != theirs:
        raise InvalidParameter(
            "beside",
            allowed="atlases of the same images",
            received=said(f"{name!r} of {theirs} beside one of {mine}"),
            fix="Collect both from the same images.",
        )
    if atlas.classes and other.classes and atlas.classes != other.classes:
        raise InvalidParameter(
            "beside",
            allowed="atlases with the same classes",
            received=said(f"{name!r} with other classes"),
            fix="Write it as a page of its own.",
        )


def _image_columns(atlases: Sequence[Atlas]) -> list[Columns]:
    """The image of each point, numbered from 0 over all atlases; the first also has the original numbers, if they differ."""
    each = [atlas.images() for atlas in atlases]
    numbers = np.unique(np.concatenate(each))
    columns: list[dict[str, Any]] = [{"image": narrow(np.searchsorted(numbers, images))} for images in each]
    if len(numbers) and (numbers[0] != 0 or numbers[-1] != len(numbers) - 1) and numbers[0] >= 0:
        columns[0]["number"] = narrow(numbers) if numbers[-1] < 2**32 else numbers.astype(np.float64)
    return columns
