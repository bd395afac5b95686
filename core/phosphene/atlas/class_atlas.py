"""A class map as an atlas of its own, with icons, labels and patches: so it is viewed, reported and compared as any other."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from phosphene.activations import ImagesLike
from phosphene.ascent import Progress
from phosphene.atlas.atlas import Atlas
from phosphene.atlas.charting import ChartSettings, chart
from phosphene.atlas.class_map import ClassMap
from phosphene.atlas.gridding import GridSettings
from phosphene.atlas.icons import IconSettings, draw_icons
from phosphene.atlas.measures import MeasureSettings
from phosphene.atlas.origin import check_origin
from phosphene.atlas.patches import PatchSettings, patch_arrays
from phosphene.backend import Network
from phosphene.data.sources import source_of

__all__ = ["class_atlas"]


def class_atlas(
    atlas: Atlas,
    network: Network,
    images: ImagesLike,
    found: ClassMap,
    out: str | Path,
    *,
    icons: IconSettings | None = None,
    patches: PatchSettings | None = None,
    progress: Callable[[Progress], bool | None] | bool | None = None,
) -> Atlas:
    """The map of one class, or of one against another, as an atlas.

    Its points are those of the map and its layout is the map's, so that of two classes the abscissa is by how much a point speaks
    more for the one. Images keep their numbers.

    Parameters
    ----------
    atlas : Atlas
        That the map is of.
    network : Network
        That it was collected with.
    images : array-like, path or sequence
        That it was collected from.
    found : ClassMap
        See `phosphene.atlas.class_map`.
    out : path
        Folder of the new atlas. A run that was killed goes on when it is called again.
    icons : IconSettings, optional
    patches : PatchSettings, optional
    progress : callable or bool, optional
        See `phosphene.render`.

    Returns
    -------
    Atlas
        With `grid`, `icons`, `labels`, `clusters` and `patches` of the map's layer, and `view` and `report` as of any.

    Raises
    ------
    OtherStore
        When `atlas` is of another model or of other images, or `out` holds another atlas.
    UnwritablePath
        When `out` cannot be written.
    """
    spec, layer, settings = network.input, found.layer, patches or PatchSettings()
    source = source_of(images, spec.size, spec.channels)
    check_origin(atlas, network, source)
    rows, numbers, places = (
        atlas.activations(layer)[found.points],
        atlas.images()[found.points],
        atlas.positions(layer)[found.points],
    )
    own = Atlas.from_activations(
        {layer: rows}, out, images=numbers, logits=atlas.logits()[found.points],
        attributions={layer: atlas.attributions(layer)[found.points]}, classes=atlas.classes,
    )  # fmt: skip
    grid = GridSettings(levels=tuple(level.size for level in found.grid.levels), minimum=1)
    # A map of a class may have few points: no more neighbours of each are asked for than can be told apart.
    plain = MeasureSettings()
    measures = replace(plain, neighbours=max(1, min(plain.neighbours, (len(rows) - 1) // 2)))
    chart(
        own, settings=ChartSettings(grid=grid, measures=measures), layouts={layer: found.coordinates}, progress=progress
    )
    draw_icons(own, network, layer, icons, progress=progress)
    cut = own.steps.read(f"grid.{layer}")

    def made() -> dict[str, NDArray[Any]]:
        return patch_arrays(network, source, layer, own.grid(layer), rows, numbers, places, settings, None, progress)

    own.steps.keep(f"patches.{layer}", asdict(settings), cut.identity, made)
    return own
