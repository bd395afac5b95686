"""From an atlas to a page in a file, or in a notebook."""

from __future__ import annotations

import html
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from urllib.parse import quote

from phosphene.atlas.atlas import Atlas
from phosphene.errors import InvalidParameter, nearest, said
from phosphene.viewer.document import document
from phosphene.viewer.gathering import default_crop, gather
from phosphene.viewer.payload import Block, choose_quality, pack_columns, pack_sheets, part
from phosphene.viewer.sheets import Sheet, share_of
from phosphene.viewer.together import check_beside, image_columns
from phosphene.writing import check_writable, write_whole

__all__ = ["notebook_frame", "view"]

FORMAT = 1

NOTEBOOK_MB = 12.0

BESIDE = ".files"
"""What the folder beside a page is called, after the page."""

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
    """Write an atlas as one page that opens from the file: to walk through, to read cell by cell, to search, and to share.

    Parameters
    ----------
    atlas : Atlas
        With the grid of at least one layer; see `phosphene.atlas.chart`. Icons, labels, clusters and patches are shown where
        they are there; a level without any picture has the colours of its classes or regions.
    path : path
        Of the page.
    layers : str or sequence of str, optional
        Those that are shown, in this order; all that have a grid when absent.
    beside : mapping of str to Atlas, optional
        Atlases of the same images, with the same classes, whose layers follow those of this one, by the name that stands before
        theirs: of another model, or of a class (`phosphene.atlas.class_atlas`). A cell shows where its images lie in them.
    max_mb : float, default 25.0
        Megabytes of the page, at most. It chooses how well pictures are kept; those that do not fit then (real patches first,
        finest level first) lie in a folder beside the page, called as it is with ".files" at its end, and are read when they are
        asked for. Without that folder the page opens as well.
    crop : float or mapping of str to float, optional
        How much of an icon is shown, about its centre, as a share of its side, of all layers or by layer: a position of a layer
        asks for nothing at the icon's rim. When absent as much as the layer's real patches show, else 0.625.
    title : str, optional
        When absent the name of the network, else that of the atlas's folder.

    Returns
    -------
    Path
        `path`.

    Raises
    ------
    InvalidParameter
        For a layer that there is not or that has no grid, an atlas beside it of other images or classes, and other values outside
        what is allowed.
    UnwritablePath
        When the page cannot be written. It is then as it was.
    """
    target = check_writable(path)
    page, files = _made(atlas, layers, beside or {}, max_mb, crop, title, target.name)
    folder = target.parent / f"{target.name}{BESIDE}"
    for block in files:
        write_whole(folder / block.file, block.script)
    write_whole(target, page.encode())
    # What an earlier page of this name had beside it, no page asks for any more.
    kept = {block.file for block in files}
    for old in folder.glob("*.js"):
        if OWN.fullmatch(old.name) and old.name not in kept:
            old.unlink()
    return target


def notebook_frame(atlas: Atlas) -> str | None:
    """The page in a frame that a notebook shows, without what does not fit into it; None for an atlas without a grid."""
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
    """The page's text, and the blocks beside it. Without a name of its own it has no place for files beside it."""
    chosen = _layers(atlas, layers)
    if isinstance(max_mb, bool) or not isinstance(max_mb, int | float) or not max_mb >= 1:
        raise InvalidParameter("max_mb", allowed="a number of at least 1", received=max_mb, fix="25 is usual.")
    crops = _crops(atlas, chosen, crop)
    heading = _title(atlas, title)
    shown = [(0, atlas, layer, layer, crops[layer]) for layer in chosen]
    for source, (name_of, other) in enumerate(others.items(), start=1):
        check_beside(atlas, other, name_of)
        shown += [
            (source, other, layer, f"{name_of} · {layer}", default_crop(other, layer)) for layer in _layers(other, None)
        ]
    gathered = [gather(each, layer, index, share) for index, (_, each, layer, _, share) in enumerate(shown)]
    points = [
        pack_columns(f"points-{index}", each) for index, each in enumerate(image_columns([atlas, *others.values()]))
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
    # Columns first, then the layer that is shown first, coarse to fine.
    start = len(chosen) - 1
    inside.sort(key=lambda block: (block.rank > 0, _layer_of(block) != start, block.rank))
    manifest = {
        "format": FORMAT, "title": heading, "classes": _classes(atlas, chosen), "start": start, "layers": facts,
        "points": atlas.store.manifest.rows, "images": [{"columns": where, "data": block.name} for block, where in points],
        "network": str(atlas.store.manifest.notes.get("network", "")), "atlas": atlas.identity,
        "blocks": {block.name: len(block.text) for block in [*inside, *beside]},
        "beside": {block.name: quote(f"{name}{BESIDE}/{block.file}") if name else "" for block in beside},
    }  # fmt: skip
    return document(heading, manifest, inside, bool(beside) and name is not None), beside


def _layer_of(block: Block) -> int:
    return int(block.name.rsplit("-", 2)[-2]) if block.rank else -1


def _layers(atlas: Atlas, layers: Sequence[str] | str | None) -> list[str]:
    cut = [layer for layer in atlas.layers if f"grid.{layer}" in atlas.steps.names]
    if not cut:
        raise InvalidParameter(
            "atlas", allowed="one with the grid of a layer", received=said(f"{atlas.folder} without any"),
            fix="Run phosphene.atlas.chart first.",
        )  # fmt: skip
    chosen = cut if layers is None else [layers] if isinstance(layers, str) else list(layers)
    wrong = [layer for layer in chosen if layer not in cut]
    if wrong or not chosen or len(set(chosen)) < len(chosen):
        near = nearest(str(wrong[0]), cut) if wrong else ""
        raise InvalidParameter(
            "layers", allowed=f"some of {', '.join(map(repr, cut))}, each once",
            received=wrong[0] if wrong else chosen, fix=f"Did you mean {near}?" if near else "They have a grid.",
        )  # fmt: skip
    return chosen


def _crops(atlas: Atlas, layers: list[str], crop: float | Mapping[str, float] | None) -> dict[str, float]:
    if not isinstance(crop, Mapping):
        return {layer: default_crop(atlas, layer) if crop is None else share_of(crop) for layer in layers}
    strange = [layer for layer in crop if layer not in layers]
    if strange:
        raise InvalidParameter(
            "crop", allowed=f"some of {', '.join(map(repr, layers))}", received=strange[0], fix="They are shown."
        )
    return {layer: share_of(crop[layer]) if layer in crop else default_crop(atlas, layer) for layer in layers}


def _title(atlas: Atlas, title: str | None) -> str:
    if title is not None and (not isinstance(title, str) or not title.strip()):
        raise InvalidParameter("title", allowed="some text", received=title, fix="Leave it out.")
    return title or str(atlas.store.manifest.notes.get("network", "")) or atlas.folder.resolve().name or "Atlas"


def _classes(atlas: Atlas, layers: list[str]) -> list[str]:
    """Names of the classes that something speaks for; numbers where they have no names."""
    arrays = atlas.store.manifest.arrays
    names = ["logits", *(f"attribution.{layer}" for layer in layers)]
    count = max((arrays[name].shape[0] for name in names if name in arrays), default=0)
    return list(atlas.classes)[:count] or [f"class {number}" for number in range(count)]
