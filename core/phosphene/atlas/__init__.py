"""The activation atlas (Carter et al. 2019): a map of what a layer distinguishes, with measures of how far to trust it.

Each step is a module, and most of its functions take and return plain arrays::

    points         activations at random `positions` of many images, and their attributions (computed by `point_values`)
    whitening      the streamed second moment of the activations, and its inverse square root
    neighbours     the nearest neighbours of every point: one graph that all later steps share
    layout         points on a plane, several layers aligned (`procrustes`); `equalization` spreads them over the map
    grids          `cells` at several levels, and their means; `partition` splits cells that mix directions
    measures       trustworthiness, continuity and neighbour recall of the layout, and the stability of cell means
    labels         the class of each group of points by the `evidence` for it, with a confidence interval
    clustering     regions by density, nested from level to level; `region_names` keeps them with their names
    map_steps      whitening to clustering, in order
    icons          the mean activation of each group inverted to an image (`icon_set`); `custom_icons` for other data
    patches        the real image patches behind each group, cut out by their `windows`
    class_maps     the map of the points that support a class, or one class against another
    class_atlases  such a map as an atlas of its own
    patch_effects  whether a patch causes a class when pasted into other images; `cell_effects` tests the cells of a map
    call           all steps, from images to the finished atlas
    summary        the figures of an atlas
    carryover      how the regions of one layer map to those of another
    report         a one-page report (`page`, `tables`), with the map drawn as a picture (`figure`)
    sheets         icons packed into large PNG files
    viewer         the atlas as an interactive page

An atlas is a folder::

    points/       a `phosphene.store.Store` with one row per point; `points/left_out/` counts non-finite points
    steps/        NAME.npz and NAME.json, one pair per step and layer: moments, neighbours, layout, grid, measures, labels,
                  text_labels, clusters, icons (one pair per shard), patches, class; and `texts`, the user's own descriptions

A step's JSON holds its settings and a digest of its inputs, which covers all steps before it. It is written last.
"""

from __future__ import annotations

from phosphene.atlas.atlas import Atlas
from phosphene.atlas.call import BuildSettings, build
from phosphene.atlas.cell_effects import CellTest, patch_tests
from phosphene.atlas.class_atlases import class_atlas
from phosphene.atlas.class_maps import ClassMap, class_map
from phosphene.atlas.clustering import ClusterSettings
from phosphene.atlas.custom_icons import own_icons
from phosphene.atlas.grids import GridSettings
from phosphene.atlas.icon_set import Icons
from phosphene.atlas.icons import IconSettings, draw_icons
from phosphene.atlas.labels import LabelSettings
from phosphene.atlas.layout import LayoutSettings
from phosphene.atlas.map_steps import ChartSettings, chart
from phosphene.atlas.measures import MeasureSettings
from phosphene.atlas.neighbours import GraphSettings
from phosphene.atlas.patch_effects import Cutouts, PatchTest, patch_test
from phosphene.atlas.patches import Patches, PatchSettings, gather_patches
from phosphene.atlas.points import collect
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
