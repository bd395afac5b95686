"""The class atlas: what a layer sees that speaks for one class, or for one class against another (Carter et al. 2019)."""

from __future__ import annotations

import importlib.util
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from phosphene.atlas.atlas import Atlas
from phosphene.atlas.cells import Grid
from phosphene.atlas.gridding import GridSettings
from phosphene.atlas.gridding import grid as cells_of
from phosphene.atlas.layout import LayoutSettings, lay_out, line_up
from phosphene.atlas.neighbours import GraphSettings, neighbour_graph
from phosphene.draws import integer
from phosphene.errors import InvalidParameter, UnknownClass, said
from phosphene.types import Floats

__all__ = ["ClassMap", "class_map"]

SIZES = (5, 10, 20, 40)
"""Cells along a side of a class atlas: it has far fewer points than the atlas that they are taken from."""


@dataclass(frozen=True)
class ClassMap:
    """A map of the points that speak for a class, or for either of two.

    Attributes
    ----------
    layer : str
    target : int
        The class.
    other : int or None
        The class that it is held against.
    name : str
        Of the class or both, as its step is called.
    points : (n,) int64
        Which points of the atlas, ascending.
    coordinates : (n, 2) float32
        Their own layout. Of two classes the first is the attribution to the class less that to the other.
    attributions : (n, 1) or (n, 2) float64
        To the class, and to the other.
    method : str
        Of the layout; of its second coordinate, where there are two classes.
    grid : Grid
        Its members count in `points`: ``points[level.members_of(cell)]`` are points of the atlas.
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
    """The map of the points of a layer that speak for a class, kept with the atlas.

    A point speaks for a class where that class is among the `rank` to which it adds most, and where it adds more than most
    points that add anything. Of one class these points get a layout of their own: in that of all classes they lie in a few cells,
    and what differs among them is squeezed together. Of two classes the abscissa is said, by how much a point adds more to the
    one than to the other, and the ordinate is a layout of the activations along a line.

    Parameters
    ----------
    atlas : Atlas
        With attributions.
    layer : str
    target : int or str
        The class, by number or name.
    other : int or str, optional
        A class that it is held against.
    rank : int, default 1
        Of the class among a point's attributions, the largest is 1; so far down is kept.
    magnitude : float, default 0.5
        Quantile in [0, 1) of the positive attributions to the class, over all points of the atlas, below which a point is left out.
    graph, layout, grid : optional
        Settings of the steps. The levels of the grid are those of 5, 10, 20, 40 whose cells could all be full enough (or the
        coarser of 2 and 1 that could, where there are few points), unless they are given. Without umap-learn the layout along a
        line is of principal components.

    Returns
    -------
    ClassMap

    Raises
    ------
    UnknownClass
        When there is no such class.
    InvalidParameter
        For an atlas without attributions, for a class that no point speaks for, and for too few points.
    OtherStore
        When the folder holds the map of these classes with other settings.
    MissingDependency
        When scikit-learn or umap-learn is not installed.
    """
    rank = integer("rank", rank, minimum=1)
    if not 0 <= magnitude < 1:
        raise InvalidParameter(
            "magnitude", allowed="a quantile in [0, 1)", received=magnitude, fix="0.5 keeps the stronger half."
        )
    classes = [_class(atlas, "target", target)] + ([] if other is None else [_class(atlas, "other", other)])
    if len(set(classes)) < len(classes):
        raise InvalidParameter("other", allowed="another class", received=other, fix="Leave it out to see one class.")
    if f"attribution.{layer}" not in atlas.store.names:
        raise InvalidParameter(
            "layer", allowed="a layer with attributions", received=layer,
            fix=f"The atlas is of {' and '.join(atlas.layers)}; collect it with attributions=True.",
        )  # fmt: skip
    graph, layout, cut = graph or GraphSettings(), layout or LayoutSettings(), grid or GridSettings()
    if len(classes) == 2 and layout.method == "umap" and importlib.util.find_spec("umap") is None:
        layout = replace(layout, method="pca")
    name = " vs ".join(atlas.classes[number] if atlas.classes else str(number) for number in classes)
    settings = {
        "classes": classes, "rank": rank, "magnitude": magnitude, "graph": asdict(graph), "layout": asdict(layout),
        "grid": asdict(cut),
    }  # fmt: skip

    def make() -> dict[str, NDArray[Any]]:
        own, ranks = _read(atlas, layer, classes)
        points = _speaking(own, ranks, rank, magnitude)
        if len(points) < max(3, cut.minimum):
            raise InvalidParameter(
                "target", allowed=f"a class that at least {max(3, cut.minimum)} points speak for",
                received=said(f"{name}, for which {len(points)} of {len(own):,} do (rank={rank}, magnitude={magnitude:g})"),
                fix="Raise the rank, lower the magnitude, or collect more images of it.",
            )  # fmt: skip
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
        layer, classes[0], classes[1] if len(classes) == 2 else None, name, kept["point"], kept["coordinates"],
        kept["attributions"], layout.method, Grid.of(kept),
    )  # fmt: skip


def _class(atlas: Atlas, parameter: str, wanted: int | str) -> int:
    """The number of a class, by number or name."""
    count = atlas.store.manifest.arrays["logits"].shape[0] if "logits" in atlas.store.names else 0
    count = count or max(
        (spec.shape[0] for name, spec in atlas.store.manifest.arrays.items() if name.startswith("attribution.")),
        default=0,
    )
    if isinstance(wanted, str):
        if wanted not in atlas.classes:
            raise UnknownClass(wanted, atlas.classes or None, count)
        return atlas.classes.index(wanted)
    number = integer(parameter, wanted)
    if number >= count:
        raise UnknownClass(number, atlas.classes or None, count)
    return number


def _read(atlas: Atlas, layer: str, classes: list[int]) -> tuple[Floats, NDArray[np.int64]]:
    """Attributions to some classes, and the rank of each of them among all, from 1: two ``(N, len(classes))``."""
    own: list[Floats] = []
    ranks: list[NDArray[np.int64]] = []
    for part in atlas.store.shards(f"attribution.{layer}"):
        own.append(part[:, classes].astype(np.float64))
        ranks.append(np.stack([(part > part[:, [number]]).sum(axis=1) + 1 for number in classes], axis=1))
    return np.concatenate(own), np.concatenate(ranks)


def _speaking(own: Floats, ranks: NDArray[np.int64], rank: int, magnitude: float) -> NDArray[np.int64]:
    """Points that speak for one of the classes."""
    found = np.zeros(len(own), np.bool_)
    for values, places in zip(own.T, ranks.T, strict=True):
        positive = values[values > 0]
        if len(positive):
            found |= (places <= rank) & (values > 0) & (values >= np.quantile(positive, magnitude))
    return np.flatnonzero(found).astype(np.int64)


def _sizes(count: int, minimum: int) -> tuple[int, ...]:
    """Levels whose cells could all have enough points."""
    # A few are outliers, and what is left has to fill at least one cell.
    room = 0.9 * count / minimum
    chosen = tuple(size for size in SIZES if size * size <= room)
    return chosen or ((2,) if room >= 4 else (1,))
