"""Class maps: the points of a layer that support one class, or one class against another (Carter et al. 2019)."""

from __future__ import annotations

import importlib.util
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from phosphene.atlas.atlas import Atlas, an_atlas
from phosphene.atlas.cells import Grid
from phosphene.atlas.grids import GridSettings
from phosphene.atlas.grids import grid as cells_of
from phosphene.atlas.layout import LayoutSettings, lay_out, line_up
from phosphene.atlas.neighbours import GraphSettings, neighbour_graph
from phosphene.errors import InvalidParameter, UnknownClass, said
from phosphene.kit.arguments import chosen
from phosphene.kit.checks import class_named, integer, number, text
from phosphene.types import Floats

__all__ = ["ClassMap", "class_map"]

SIZES = (5, 10, 20, 40)
"""Cells per side of a class map, which has far fewer points than the atlas."""


@dataclass(frozen=True)
class ClassMap:
    """A map of the points that support a class, or either of two classes.

    Attributes
    ----------
    layer : str
    target : int
        Index of the class.
    other : int or None
        Index of the class that it is compared with.
    name : str
        Name of the class or of both, as in the name of the step.
    points : (n,) int64
        Indices of the points in the atlas, ascending.
    coordinates : (n, 2) float32
        Layout of these points. For two classes, the first coordinate is the attribution to `target` minus that to `other`.
    attributions : (n, 1) or (n, 2) float64
        Attribution to `target`, and to `other`.
    method : str
        Method of the layout; for two classes, of its second coordinate.
    grid : Grid
        Cells whose members index `points`: ``points[level.members_of(cell)]`` are points of the atlas.
    """

    layer: str
    target: int
    other: int | None
    name: str
    points: NDArray[np.int64]
    coordinates: NDArray[np.float32]
    attributions: Floats
    method: str
    grid: Grid

    def cell_attributions(self, size: int) -> Floats:
        """Mean attribution of each cell of a level, ``(M, 1)`` or ``(M, 2)``."""
        level = self.grid.level(size)
        found: Floats = np.add.reduceat(self.attributions[level.members], level.starts[:-1]) / level.counts[:, None]
        return found

    def group_attributions(self, size: int) -> Floats:
        """Mean attribution of each group of a level, ``(G, 1)`` or ``(G, 2)``."""
        level = self.grid.level(size)
        starts = level.group_starts
        found: Floats = np.add.reduceat(self.attributions[level.members], starts[:-1]) / np.diff(starts)[:, None]
        return found


def class_map(
    atlas: Atlas,
    layer: str,
    target: int | str,
    other: int | str | None = None,
    *,
    rank: int = 1,
    magnitude: float = 0.5,
    graph: GraphSettings | None = None,
    layout: LayoutSettings | None = None,
    grid: GridSettings | None = None,
) -> ClassMap:
    """Map the points of a layer that support a class, and keep the map with the atlas.

    A point supports a class if the class is among the `rank` classes with the largest attribution, and the attribution is in the
    upper part of all positive ones (see `magnitude`). For one class, these points get a new layout: in that of the atlas they lie
    in a few cells, with little room for their differences. For two classes, the first coordinate is the difference of the
    attributions, and the second is a one-dimensional layout of the activations.

    Parameters
    ----------
    atlas : Atlas
        An atlas with attributions.
    layer : str
    target : int or str
        The class, by index or name.
    other : int or str, optional
        A class to compare it with.
    rank : int, default 1
        Keep points for which the class has this rank or better among the attributions; 1 is the largest.
    magnitude : float, default 0.5
        Quantile in [0, 1) of the positive attributions to the class over all points, below which points are left out.
    graph, layout, grid : GraphSettings, LayoutSettings, GridSettings, optional
        Settings of the steps. By default the grid has those levels of 5, 10, 20, 40 whose cells could all have enough points
        (with few points, 2 or 1). Without umap-learn, the one-dimensional layout is the first principal component.

    Returns
    -------
    ClassMap

    Raises
    ------
    UnknownClass
        When there is no such class.
    InvalidParameter
        For an atlas without attributions, and for a class that too few points support.
    OtherStore
        When the folder holds a map of these classes with other settings.
    MissingDependency
        When scikit-learn or umap-learn is not installed.
    """
    an_atlas(atlas)
    text("layer", layer, fix="`Atlas.layers` lists them.")
    rank = integer("rank", rank, minimum=1)
    magnitude = number("magnitude", magnitude, minimum=0, example=0.5)
    if magnitude >= 1:
        raise InvalidParameter(
            "magnitude",
            allowed="a quantile in [0, 1)",
            received=magnitude,
            fix="For example magnitude=0.5, which keeps the larger half.",
        )
    classes = [_class(atlas, "target", target)] + ([] if other is None else [_class(atlas, "other", other)])
    if len(set(classes)) < len(classes):
        raise InvalidParameter(
            "other", allowed="a class other than the target", received=other, fix="Leave it out for a map of one class."
        )
    if f"attribution.{layer}" not in atlas.store.names:
        raise InvalidParameter(
            "layer",
            allowed="a layer with attributions",
            received=layer,
            fix=f"Choose a layer of the atlas ({', '.join(atlas.layers)}), or collect it with attributions=True.",
        )
    graph, layout = chosen("graph", graph, GraphSettings), chosen("layout", layout, LayoutSettings)
    cut = chosen("grid", grid, GridSettings)
    if len(classes) == 2 and layout.method == "umap" and importlib.util.find_spec("umap") is None:
        layout = replace(layout, method="pca")
    name = " vs ".join(atlas.classes[number] if atlas.classes else str(number) for number in classes)
    settings = {
        "classes": classes,
        "rank": rank,
        "magnitude": magnitude,
        "graph": asdict(graph),
        "layout": asdict(layout),
        "grid": asdict(cut),
    }

    def make() -> dict[str, NDArray[Any]]:
        own, ranks = _read(atlas, layer, classes)
        points = _speaking(own, ranks, rank, magnitude)
        if len(points) < max(3, cut.minimum):
            raise InvalidParameter(
                "target",
                allowed=f"a class that at least {max(3, cut.minimum)} points support",
                received=said(
                    f"{name}, supported by {len(points)} of {len(own):,} points (rank={rank}, magnitude={magnitude:g})"
                ),
                fix="Raise rank, lower magnitude, or collect more images of it.",
            )
        rows, own = atlas.activations(layer)[points], own[points]
        known = neighbour_graph(rows, graph)
        if len(classes) == 1:
            coordinates = lay_out(rows, known, layout).points
        else:
            coordinates = np.stack([own[:, 0] - own[:, 1], line_up(rows, known, layout)], axis=1).astype(np.float32)
        chosen = cut if cut.levels is not None else replace(cut, levels=_sizes(len(points), cut.minimum))
        arrays = cells_of(coordinates, rows, chosen).arrays()
        return {**arrays, "point": points, "coordinates": coordinates, "attributions": own}

    kept = atlas.steps.keep(f"class.{layer}.{name}", settings, atlas.identity, make).arrays
    return ClassMap(
        layer,
        classes[0],
        classes[1] if len(classes) == 2 else None,
        name,
        kept["point"],
        kept["coordinates"],
        kept["attributions"],
        layout.method,
        Grid.of(kept),
    )


def _class(atlas: Atlas, parameter: str, wanted: int | str) -> int:
    """The index of a class, given by index or name."""
    count = atlas.store.manifest.arrays["logits"].shape[0] if "logits" in atlas.store.names else 0
    count = count or max(
        (spec.shape[0] for name, spec in atlas.store.manifest.arrays.items() if name.startswith("attribution.")),
        default=0,
    )
    if isinstance(wanted, str):
        index = class_named(atlas.classes, wanted)
        if index is None:
            raise UnknownClass(wanted, atlas.classes or None, count)
        return index
    number = integer(parameter, wanted)
    if number >= count:
        raise UnknownClass(number, atlas.classes or None, count)
    return number


def _read(atlas: Atlas, layer: str, classes: list[int]) -> tuple[Floats, NDArray[np.int64]]:
    """Attributions to some classes, and their ranks among all classes, from 1; both ``(N, len(classes))``."""
    own: list[Floats] = []
    ranks: list[NDArray[np.int64]] = []
    for part in atlas.store.shards(f"attribution.{layer}"):
        own.append(part[:, classes].astype(np.float64))
        ranks.append(np.stack([(part > part[:, [number]]).sum(axis=1) + 1 for number in classes], axis=1))
    return np.concatenate(own), np.concatenate(ranks)


def _speaking(own: Floats, ranks: NDArray[np.int64], rank: int, magnitude: float) -> NDArray[np.int64]:
    """Indices of the points that support one of the classes."""
    found = np.zeros(len(own), np.bool_)
    for values, places in zip(own.T, ranks.T, strict=True):
        positive = values[values > 0]
        if len(positive):
            found |= (places <= rank) & (values > 0) & (values >= np.quantile(positive, magnitude))
    return np.flatnonzero(found).astype(np.int64)


def _sizes(count: int, minimum: int) -> tuple[int, ...]:
    """Levels whose cells could all have enough points."""
    # Some points are outliers; the others must fill at least one cell.
    room = 0.9 * count / minimum
    chosen = tuple(size for size in SIZES if size * size <= room)
    return chosen or ((2,) if room >= 4 else (1,))
