"""A class map as an atlas of its own, with icons, labels and patches, to be viewed, reported and compared like any other."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from phosphene.atlas.atlas import Atlas, an_atlas
from phosphene.atlas.class_maps import ClassMap
from phosphene.atlas.grids import GridSettings
from phosphene.atlas.icons import IconSettings, draw_icons
from phosphene.atlas.map_steps import ChartSettings, chart
from phosphene.atlas.measures import MeasureSettings
from phosphene.atlas.patches import PatchSettings, patch_arrays
from phosphene.atlas.steps import check_origin
from phosphene.backend import Network
from phosphene.data.declaration import ImagesLike
from phosphene.data.sources import source_of
from phosphene.kit.arguments import chosen
from phosphene.kit.checks import a_network, instance
from phosphene.kit.locks import Stopped
from phosphene.kit.places import given_path
from phosphene.kit.progress import Progress, check_progress

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
    """Make an atlas of the map of one class, or of one class against another.

    It has the points and the layout of the map: for two classes, the first coordinate is the difference of the attributions.
    Images keep their numbers.

    Parameters
    ----------
    atlas : Atlas
        The atlas of the map.
    network : Network
        The network that the atlas was collected with.
    images : images
        The images that the atlas was collected from: anything that `phosphene.images` takes.
    found : ClassMap
        The map; see `phosphene.atlas.class_map`.
    out : str or Path
        Folder of the new atlas. An interrupted run resumes when it is called again.
    icons : IconSettings, optional
    patches : PatchSettings, optional
    progress : callable or bool, optional
        See `phosphene.render`.

    Returns
    -------
    Atlas
        With `grid`, `icons`, `labels`, `clusters` and `patches` of the map's layer.

    Raises
    ------
    OtherStore
        When `atlas` was collected from another model or other images, or `out` holds another atlas.
    UnwritablePath
        When `out` cannot be written.
    """
    an_atlas(atlas)
    a_network(network)
    instance("found", found, ClassMap, "a class map", 'class_map(atlas, "stage3", "coins")')
    icons, out = chosen("icons", icons, IconSettings), given_path(out, "out")
    check_progress(progress)
    spec, layer, settings = network.input, found.layer, chosen("patches", patches, PatchSettings)
    source = source_of(images, spec)
    check_origin(atlas, network, source)
    rows, numbers, places = (
        atlas.activations(layer)[found.points],
        atlas.images()[found.points],
        atlas.positions(layer)[found.points],
    )
    own = Atlas.from_activations(
        {layer: rows},
        out,
        images=numbers,
        logits=atlas.logits()[found.points],
        attributions={layer: atlas.attributions(layer)[found.points]},
        classes=atlas.classes,
    )
    grid = GridSettings(levels=tuple(level.size for level in found.grid.levels), minimum=1)
    # A class map may have few points, and measures need fewer than half of them as neighbours.
    plain = MeasureSettings()
    measures = replace(plain, neighbours=max(1, min(plain.neighbours, (len(rows) - 1) // 2)))
    chart(
        own, settings=ChartSettings(grid=grid, measures=measures), layouts={layer: found.coordinates}, progress=progress
    )
    draw_icons(own, network, layer, icons, progress=progress)
    cut = own.steps.read(f"grid.{layer}")

    def made() -> dict[str, NDArray[Any]]:
        return patch_arrays(network, source, layer, own.grid(layer), rows, numbers, places, settings, None, progress)

    with suppress(Stopped):
        own.steps.keep(f"patches.{layer}", asdict(settings), cut.identity, made, progress=progress)
    return own
