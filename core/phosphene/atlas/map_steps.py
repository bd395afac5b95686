"""Steps 2 to 7 of an atlas, from points to a measured map with names; each is kept as soon as it is done."""

from __future__ import annotations

import functools
import hashlib
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from phosphene.atlas.atlas import Atlas, an_atlas
from phosphene.atlas.cells import Grid
from phosphene.atlas.clustering import ClusterSettings
from phosphene.atlas.equalization import evened
from phosphene.atlas.grids import GridSettings, grid
from phosphene.atlas.labels import LabelSettings
from phosphene.atlas.layout import Layout, LayoutSettings, lay_out
from phosphene.atlas.measures import Measures, MeasureSettings, by_cell, measure, split_half
from phosphene.atlas.neighbours import GraphSettings, Neighbours, neighbour_graph
from phosphene.atlas.region_names import keep_texts, name_layer, naming_steps
from phosphene.atlas.steps import Kept, identity_of
from phosphene.atlas.whitening import second_moment
from phosphene.errors import InvalidParameter, said
from phosphene.kit.arguments import array_like, chosen
from phosphene.kit.checks import boolean, choice, instance, names, number, share
from phosphene.kit.locks import Stopped
from phosphene.kit.progress import Progress, check_progress, reporter

__all__ = ["ChartSettings", "chart"]

MEASURED = 5
"""Number of steps per layer before those of `naming_steps`."""


@dataclass(frozen=True)
class ChartSettings:
    """Settings of all steps from points to a measured map.

    Attributes
    ----------
    whitened : bool, default False
        Whether to compute neighbours and layout from whitened activations. Whitening amplifies rare directions, including
        noise: in the specimen's last stage it lowered the share of a point's 15 neighbours of its own class from 0.91 to 0.87.
        Cells are means of the original activations in either case.
    ridge : float, default 0.01
        Ridge of the whitening; see `phosphene.atlas.whitening.Moments.whitening`.
    graph : GraphSettings
    layout : LayoutSettings
    evenness : float, default 0.8
        How evenly points are spread over the map, in [0, 1]; 0 leaves the layout as it is. See
        `phosphene.atlas.equalization.evened`.
    grid : GridSettings
    measures : MeasureSettings
    labels : LabelSettings
    clusters : ClusterSettings
    """

    whitened: bool = False
    ridge: float = 1e-2
    graph: GraphSettings = field(default_factory=GraphSettings)
    layout: LayoutSettings = field(default_factory=LayoutSettings)
    evenness: float = 0.8
    grid: GridSettings = field(default_factory=GridSettings)
    measures: MeasureSettings = field(default_factory=MeasureSettings)
    labels: LabelSettings = field(default_factory=LabelSettings)
    clusters: ClusterSettings = field(default_factory=ClusterSettings)

    def __post_init__(self) -> None:
        boolean("whitened", self.whitened)
        number("ridge", self.ridge, minimum=0, example=0.01)
        share("evenness", self.evenness, example=0.8)
        for name, kind in _PARTS.items():
            instance(name, getattr(self, name), kind, kind.__name__, f"{kind.__name__}()")


_PARTS: dict[str, type] = {
    "graph": GraphSettings,
    "layout": LayoutSettings,
    "grid": GridSettings,
    "measures": MeasureSettings,
    "labels": LabelSettings,
    "clusters": ClusterSettings,
}


def chart(
    atlas: Atlas,
    layers: Sequence[str] | None = None,
    settings: ChartSettings | None = None,
    *,
    layouts: Mapping[str, ArrayLike] | None = None,
    texts: Sequence[str] | None = None,
    progress: Callable[[Progress], bool | None] | bool | None = None,
) -> Atlas:
    """Map the layers of a collected atlas: whiten, find neighbours, lay out, divide into cells, measure, label and cluster.

    The layout of a layer starts from that of the previous layer and is aligned with it. Steps of an earlier run are reused.

    Parameters
    ----------
    atlas : Atlas
    layers : sequence of str, optional
        Collected layers to map, in order (default: all).
    settings : ChartSettings, optional
    layouts : mapping of str to array-like (N, 2), optional
        Layouts by layer, for example your own or those of another atlas of the same points, used instead of a computed one.
    texts : sequence of str, optional
        Descriptions of the images, one per image or one per point. Groups get labels from them as well, and clusters are named
        by them if possible. They are kept with the atlas and need not be given again.
    progress : callable or bool, optional
        See `phosphene.render`; called after each step. If it stops the run, finished steps are kept.

    Returns
    -------
    Atlas
        The same atlas, with `layout`, `grid`, `measures` and `clusters` of these layers, `labels` if attributions or logits were
        collected, and `text_labels` if there are texts.

    Raises
    ------
    InvalidParameter
        For a layer that was not collected or whose activation is constant, too few points, an incomplete collection, layouts
        with values that are not finite or a wrong shape, and a wrong number of texts.
    OtherStore
        When the folder holds steps with other settings, or other texts.
    MissingDependency
        When scikit-learn, SciPy or umap-learn is not installed.
    """
    an_atlas(atlas)
    settings = chosen("settings", settings, ChartSettings)
    paths = atlas.layers if layers is None else names("layers", layers, fix="`Atlas.layers` lists them.")
    if layouts is not None and not isinstance(layouts, Mapping):
        raise InvalidParameter(
            "layouts", allowed="layouts (N, 2) by layer", received=layouts, fix='For example {"stage3": points}.'
        )
    if texts is not None:
        texts = names("texts", texts, fix="Give a list of words, one per image or one per point.")
    check_progress(progress)
    given = layouts or {}
    for name, path in [*(("layers", path) for path in paths), *(("layouts", path) for path in given)]:
        choice(name, path, atlas.layers, fix="Choose a layer that was collected, or collect this one as well.")
    if not atlas.store.complete:
        raise InvalidParameter(
            "atlas",
            allowed="an atlas with all of its points",
            received=atlas.store,
            fix="Call the function that collected them again to resume.",
        )
    laid = {path: _laid(points, len(atlas.store.rows()), path) for path, points in given.items()}
    known = keep_texts(atlas, texts)
    total = sum(MEASURED + len(naming_steps(atlas, path, known)) for path in paths)
    begin, done = time.perf_counter(), 0
    before: Kept | None = None
    with reporter(progress, "map", total) as tell, suppress(Stopped):

        def waiting(state: Progress) -> bool | None:
            return tell(Progress(done, total, "steps", time.perf_counter() - begin, state.message))

        keep = functools.partial(atlas.steps.keep, progress=waiting)
        for path in paths:
            for step in _steps(atlas, keep, path, settings, before, laid.get(path), known):
                done += 1
                if step.name.startswith("layout."):
                    before = step
                seconds = time.perf_counter() - begin
                if tell(Progress(done, total, "steps", seconds, step.name)) is False:
                    return atlas
    return atlas


def _laid(points: ArrayLike, count: int, path: str) -> NDArray[np.float32]:
    """A layout of the user, checked."""
    with np.errstate(over="ignore"):
        found = array_like(f"layouts[{path!r}]", points).astype(np.float32)
    finite = bool(np.isfinite(found).all())
    if found.shape != (count, 2) or not finite:
        raise InvalidParameter(
            "layouts",
            allowed=f"finite numbers of shape ({count}, 2) for {path!r}, one row per point",
            received=said(f"shape {found.shape}" if finite else "infinity or NaN"),
            fix="Give one row per point, in the order of the points.",
        )
    return found


def _steps(
    atlas: Atlas,
    keep: Callable[..., Kept],
    path: str,
    settings: ChartSettings,
    before: Kept | None,
    given: NDArray[np.float32] | None,
    texts: Kept | None,
) -> Iterator[Kept]:
    """Run the steps of one layer, in order."""

    def moments() -> dict[str, NDArray[Any]]:
        found = second_moment(atlas.store.shards(f"activation.{path}"))
        # Raises here, before hours of work depend on it.
        found.whitening(settings.ridge, layer=path)
        return {"count": np.array(found.count), "total": found.total, "products": found.products}

    moment = keep(f"moments.{path}", {"ridge": settings.ridge}, atlas.identity, moments)
    yield moment

    # Read on first use: a run that reuses all steps reads neither.
    @functools.cache
    def rows() -> NDArray[np.float32]:
        return atlas.activations(path)

    @functools.cache
    def vectors() -> NDArray[np.float32]:
        return atlas.whitening(path).whiten(rows()) if settings.whitened else rows()

    def neighbours() -> dict[str, NDArray[Any]]:
        found = neighbour_graph(vectors(), settings.graph)
        return {
            "indices": found.indices,
            "distances": found.distances,
            "metric": np.array(found.metric),
            "exact": np.array(found.exact),
        }

    graph = keep(
        f"neighbours.{path}", {**asdict(settings.graph), "whitened": settings.whitened}, moment.identity, neighbours
    )
    yield graph
    known = graph.made(Neighbours.of)

    def layout() -> dict[str, NDArray[Any]]:
        if given is not None:
            return {"points": given, "landmarks": np.arange(len(given)), "method": np.array("given")}
        start = None if before is None else before.made(Layout.of).points
        found: Layout = lay_out(vectors(), known, settings.layout, start=start)
        points = evened(found.points, settings.evenness, seed=settings.layout.seed)
        return {"points": points, "landmarks": found.landmarks, "method": np.array(found.method)}

    origin = graph.identity if before is None or given is not None else identity_of([graph.identity, before.identity])
    own = {**asdict(settings.layout), "evenness": settings.evenness}
    if given is not None:
        own = {"method": "given", "given": hashlib.blake2b(given.tobytes(), digest_size=16).hexdigest()}
    laid = keep(f"layout.{path}", own, origin, layout)
    yield laid
    points = laid.made(Layout.of).points

    def cells() -> dict[str, NDArray[Any]]:
        return grid(points, rows(), settings.grid).arrays()

    cut = keep(f"grid.{path}", asdict(settings.grid), laid.identity, cells)
    yield cut

    def measures() -> dict[str, NDArray[Any]]:
        found: Measures = measure(vectors(), points, known, settings.measures)
        arrays = {name: np.asarray(value) for name, value in vars(found).items()}
        for level in cut.made(Grid.of).levels:
            arrays[f"{level.size}.recall"] = by_cell(level, found.point_recall)
            arrays[f"{level.size}.stretch"] = by_cell(level, found.point_stretch)
            arrays[f"{level.size}.split_half"] = split_half(rows(), level, seed=settings.measures.seed)
        return arrays

    yield keep(f"measures.{path}", asdict(settings.measures), cut.identity, measures)
    yield from name_layer(atlas, keep, path, known, cut, settings.labels, settings.clusters, texts)
