"""The activation atlas: from a stream of images to a measured map of what a layer sees (Carter et al. 2019).

A file a step, each a pure function of arrays that runs alone::

    collecting    activations at random places of many images, and what they add to each class
    whitening     the second moment, streamed, and its inverse root
    neighbours    the nearest neighbours of every point: one graph for all that follows
    layout        points on a plane; several layers one over another; `evening` spreads them over it
    gridding      cells, coarse to fine, and their means (`cells`); `splitting` takes apart those that mix directions
    measures      what the layout kept, and what would be there again
    labelling     what each part of a cell is of, by what speaks for each class (`evidence`), and how surely
    clustering    regions by density, each within one of the coarser level; `naming` gives them names
    charting      all of these after the first, in a row
    icons         each cell's mean inverted to a picture, coarse to fine (`icon_set`); `own_icons` by a function of one's own
    patches       the real image patches behind each cell, cut to the `windows` that positions mostly look at
    class_map     the map of what speaks for a class, or for one against another
    class_atlas   that map as an atlas of its own
    patch_test    whether what a cell shows decides the class: its patches pasted into other images (`cell_tests`: of a map's cells)
    building      from images to all of it
    summary       the figures of all of it in one place
    carryover     how regions of one layer go into those of another
    reporting     one page of it, with the map as a picture (`picturing`)
    sheets        icons packed into large pictures

An atlas is a folder::

    points/       a `phosphene.store.Store`, a row a point; `points/left_out/` counts what was infinite or NaN
    steps/        NAME.npz and NAME.json, a pair a step and layer: moments, neighbours, layout, grid, measures, labels,
                  text_labels, clusters, icons (a pair a shard), patches, class; and `texts`, what a user said of the images

A step's JSON holds its settings and a digest of what it was made from, and so of all before it. It is written last.
"""

from __future__ import annotations

from phosphene.atlas.atlas import Atlas
from phosphene.atlas.building import BuildSettings, build
from phosphene.atlas.cell_tests import CellTest, patch_tests
from phosphene.atlas.charting import ChartSettings, chart
from phosphene.atlas.class_atlas import class_atlas
from phosphene.atlas.class_map import ClassMap, class_map
from phosphene.atlas.clustering import ClusterSettings
from phosphene.atlas.collecting import collect
from phosphene.atlas.gridding import GridSettings
from phosphene.atlas.icon_set import Icons
from phosphene.atlas.icons import IconSettings, draw_icons
from phosphene.atlas.labelling import LabelSettings
from phosphene.atlas.layout import LayoutSettings
from phosphene.atlas.measures import MeasureSettings
from phosphene.atlas.neighbours import GraphSettings
from phosphene.atlas.own_icons import own_icons
from phosphene.atlas.patch_test import Cutouts, PatchTest, patch_test
from phosphene.atlas.patches import Patches, PatchSettings, gather_patches
from phosphene.atlas.windows import Window, window

__all__ = [
    "Atlas",
    "BuildSettings",
    "CellTest",
    "ChartSettings",
    "ClassMap",
    "ClusterSettings",
    "Cutouts",
    "GraphSettings",
    "GridSettings",
    "IconSettings",
    "Icons",
    "LabelSettings",
    "LayoutSettings",
    "MeasureSettings",
    "PatchSettings",
    "PatchTest",
    "Patches",
    "Window",
    "build",
    "chart",
    "class_atlas",
    "class_map",
    "collect",
    "draw_icons",
    "gather_patches",
    "own_icons",
    "patch_test",
    "patch_tests",
    "window",
]
