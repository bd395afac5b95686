"""The small atlas of `phosphene demo`."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from phosphene.atlas import Atlas
from phosphene.atlas.picturing import PictureSettings, map_picture
from phosphene.backend import Network
from phosphene.demo.declarations import AtlasReport

__all__ = ["demo_atlas"]

IMAGES = 5000
LEVELS = (10, 20)


def demo_atlas(network: Network, layer: str, folder: Path, page: Path) -> AtlasReport:
    """Build an atlas of one layer, write the page to walk through it, and draw its map.

    Parameters
    ----------
    network : Network
    layer : str
    folder : Path
        Where it lies, so that it can be opened afterwards. One that is there already is taken as it is.
    page : Path
        Where the page goes.

    Returns
    -------
    AtlasReport
    """
    atlas = Atlas.build(network, f"photos:{IMAGES}", [layer], folder, levels=LEVELS, progress=False)
    atlas.view(page)
    size = LEVELS[-1]
    grid, icons = atlas.grid(layer), atlas.icons(layer, size)
    level, labels, clusters = grid.level(size), atlas.labels(layer, size), atlas.clusters(layer, LEVELS[0])
    large = [index for index in np.argsort(-clusters.counts, kind="stable") if clusters.claimed[index]]
    return AtlasReport(
        layer=layer,
        picture=map_picture(grid.points, level, icons, PictureSettings(cell=44)),
        size=size,
        points=len(grid.points),
        cells=int(level.kept.sum()),
        trustworthiness=atlas.measures(layer).trustworthiness,
        fidelity=float(np.median(icons.fidelity)),
        evaluations=float(np.median(icons.evaluations)),
        labelled=float(np.mean(labels.claimed[icons.groups])),
        regions=[(clusters.names[index], *map(float, clusters.places[index])) for index in large],
        folder=folder,
        page=page.name,
    )
