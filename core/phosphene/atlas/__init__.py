"""The activation atlas: from a stream of images to a measured map of what a layer sees (Carter et al. 2019).

A file a step, each a pure function of arrays that runs alone::

    collecting    activations at random places of many images, and what they add to each class
    whitening     the second moment, streamed, and its inverse root
    neighbours    the nearest neighbours of every point: one graph for all that follows
    layout        points on a plane; several layers one over another
    gridding      cells, coarse to fine, and their means (`cells`); `splitting` takes apart those that mix directions
    measures      what the layout kept, and what would be there again
    labelling     what each part of a cell is of, by what speaks for each class (`evidence`), and how surely
    clustering    regions by density, each within one of the coarser level; `naming` gives them names
    charting      all of these after the first, in a row

An atlas is a folder::

    points/       a `phosphene.store.Store`, a row a point; `points/left_out/` counts what was infinite or NaN
    steps/        NAME.npz and NAME.json, a pair a step and layer: moments, neighbours, layout, grid, measures, labels,
                  text_labels, clusters; and `texts`, what a user said of the images

A step's JSON holds its settings and a digest of what it was made from, and so of all before it. It is written last.
"""

from __future__ import annotations

from phosphene.atlas.atlas import Atlas
from phosphene.atlas.charting import ChartSettings, chart
from phosphene.atlas.clustering import ClusterSettings
from phosphene.atlas.collecting import collect
from phosphene.atlas.gridding import GridSettings
from phosphene.atlas.labelling import LabelSettings
from phosphene.atlas.layout import LayoutSettings
from phosphene.atlas.measures import MeasureSettings
from phosphene.atlas.neighbours import GraphSettings

__all__ = [
    "Atlas",
    "ChartSettings",
    "ClusterSettings",
    "GraphSettings",
    "GridSettings",
    "LabelSettings",
    "LayoutSettings",
    "MeasureSettings",
    "chart",
    "collect",
]
