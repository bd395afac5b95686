"""Step 9 of an atlas: the real image patches behind each group, cut out at its most typical points."""

from __future__ import annotations

import time
from collections.abc import Callable
from concurrent.futures import Executor
from contextlib import suppress
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Annotated, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from phosphene.atlas.cells import Grid, Level, level_missing
from phosphene.atlas.partition import directions
from phosphene.atlas.steps import check_origin
from phosphene.atlas.windows import MASS, Window, cut_patches, window
from phosphene.backend import Network
from phosphene.data.declaration import ImagesLike
from phosphene.data.source import Source
from phosphene.data.sources import source_of
from phosphene.kit.arguments import an_executor, chosen, optional_integer
from phosphene.kit.checks import a_network, integer, share, text
from phosphene.kit.locks import Stopped
from phosphene.kit.progress import Progress, check_progress, reporter
from phosphene.kit.records import from_arrays
from phosphene.types import Size

if TYPE_CHECKING:
    from phosphene.atlas.atlas import Atlas

__all__ = ["PatchSettings", "Patches", "gather_patches", "patch_arrays", "representatives"]

BLOCK = 50_000
"""Number of members whose activations are held in double precision at once."""


@dataclass(frozen=True)
class PatchSettings:
    """Settings of the patches.

    Attributes
    ----------
    most : int, default 4
        Patches per group.
    side : int, default 48
        Maximum length of a patch's longer side in pixels; larger windows are downscaled.
    mass : float, default 0.9
        Share of the gradient inside the window; see `phosphene.atlas.windows.window`.
    pictures : int, default 20_000
        Maximum number of pictures per layer, about 7 kB each. First patches take precedence over second ones, and coarse levels
        over fine ones.
    """

    most: int = 4
    side: int = 48
    mass: float = MASS
    pictures: int = 20_000

    def __post_init__(self) -> None:
        integer("most", self.most, minimum=1)
        integer("side", self.side, minimum=1)
        integer("pictures", self.pictures, minimum=1)
        share("mass", self.mass, zero=False, example=MASS)


@dataclass(frozen=True)
class Patches:
    """The patches of one level.

    Attributes
    ----------
    points : (G, most) int64
        Indices of the most typical points of each group, nearest to its mean first (a second point of an image comes after the
        first points of all others); -1 if it has no more.
    rows : (G, most) int64
        Index of the picture of each of these points; -1 if there is none.
    pictures : (P, h, w, C) uint8
        One per distinct point, for all levels together.
    boxes : (P, 4) int64
        Top, bottom, left and right of each patch in its image, in pixels.
    """

    points: Annotated[NDArray[np.int64], "G most"]
    rows: Annotated[NDArray[np.int64], "G most"]
    pictures: Annotated[NDArray[np.uint8], "P h w C"]
    boxes: Annotated[NDArray[np.int64], "P 4"]

    def of_group(self, group: int) -> NDArray[np.uint8]:
        """Pictures of a group, nearest to its mean first."""
        rows = self.rows[group]
        found: NDArray[np.uint8] = self.pictures[rows[rows >= 0]]
        return found

    @staticmethod
    def of(arrays: Any, size: int) -> Patches:
        """The patches of the level with `size` cells per side, from the arrays of the step."""
        if f"points.{size}" not in arrays:
            raise level_missing([int(name.partition(".")[2]) for name in arrays if name.startswith("points.")], size)
        points, known = arrays[f"points.{size}"], arrays["point"]
        if len(known) != len(arrays["pictures"]) or np.any(np.diff(known) <= 0):
            raise ValueError("its points are not one per picture, ascending")
        place = np.minimum(np.searchsorted(known, points), len(known) - 1)
        rows = np.where(known[place] == points, place, -1)
        found = {"points": points, "rows": rows, "pictures": arrays["pictures"], "boxes": arrays["boxes"]}
        return from_arrays(Patches, found)


def representatives(
    level: Level, activations: NDArray[np.floating], images: ArrayLike, most: int = 4
) -> NDArray[np.int64]:
    """Find the members of each group that are nearest to its mean direction.

    Parameters
    ----------
    level : Level
    activations : (N, C)
        Activations of all points.
    images : array-like (N,) of int
        Number of the image of each point. A second point of an image comes after the first points of all others.
    most : int, default 4
        Points per group.

    Returns
    -------
    numpy.ndarray (G, most)
        Indices of the points, padded with -1.
    """
    most = integer("most", most, minimum=1)
    members, sizes = level.members, np.diff(level.group_starts)
    owner = np.repeat(np.arange(len(sizes)), sizes)
    means = directions(level.group_means)
    cosine = np.empty(len(members))
    for begin in range(0, len(members), BLOCK):
        part = slice(begin, begin + BLOCK)
        cosine[part] = np.einsum("nc,nc->n", directions(activations[members[part]]), means[owner[part]])
    image = np.asarray(images)[members]
    # Number of nearer points of the same image in the same group.
    order = np.lexsort((members, -cosine, image, owner))
    fresh = np.ones(len(order), np.bool_)
    fresh[1:] = (np.diff(owner[order]) != 0) | (np.diff(image[order]) != 0)
    again = np.empty(len(order), np.int64)
    again[order] = np.arange(len(order)) - np.flatnonzero(fresh)[np.cumsum(fresh) - 1]
    best = np.lexsort((members, -cosine, again, owner))
    place = np.arange(len(best)) - np.repeat(level.group_starts[:-1], sizes)
    found = np.full((len(sizes), most), -1, np.int64)
    near = place < most
    found[owner[best][near], place[near]] = members[best][near]
    return found


def gather_patches(
    atlas: Atlas,
    network: Network,
    images: ImagesLike,
    layer: str,
    settings: PatchSettings | None = None,
    *,
    count: int | None = None,
    executor: Executor | None = None,
    progress: Callable[[Progress], bool | None] | bool | None = None,
) -> Atlas:
    """Cut out the real patches of all groups of a layer's map, and keep them with the atlas.

    Parameters
    ----------
    atlas : Atlas
        An atlas with a map of this layer; see `phosphene.atlas.chart`.
    network : Network
        The network that the atlas was collected with.
    images : images
        The images that the atlas was collected from: anything that `phosphene.images` takes.
    layer : str
    settings : PatchSettings, optional
    count, executor
        See `phosphene.atlas.collect`.
    progress : callable or bool, optional
        See `phosphene.render`. It cannot stop this step, but it can end the wait for another process that is at it.

    Returns
    -------
    Atlas
        The same atlas, with `patches` of this layer.

    Raises
    ------
    OtherStore
        When the atlas was collected from another model or other images, or has patches with other settings.
    InvalidParameter
        For a layer without a map, and for an atlas from activations.
    CorruptFile
        When an image can no longer be read.
    """
    from phosphene.atlas.atlas import an_atlas

    settings = chosen("settings", settings, PatchSettings)
    an_atlas(atlas)
    text("layer", layer, fix="`Atlas.layers` lists them.")
    count = optional_integer("count", count, minimum=1)
    an_executor(executor)
    check_progress(progress)
    spec = a_network(network).input
    source = source_of(images, spec, count=count)
    check_origin(atlas, network, source)
    cut = atlas.steps.read(f"grid.{layer}")

    def make() -> dict[str, NDArray[Any]]:
        rows, image, places = atlas.activations(layer), atlas.images(), atlas.positions(layer)
        return patch_arrays(
            network, source, layer, cut.made(Grid.of), rows, image, places, settings, executor, progress
        )

    with suppress(Stopped):
        atlas.steps.keep(f"patches.{layer}", asdict(settings), cut.identity, make, progress=progress)
    return atlas


def patch_arrays(
    network: Network,
    source: Source,
    layer: str,
    grid: Grid,
    rows: NDArray[np.floating],
    image: NDArray[np.int64],
    places: NDArray[np.int32],
    settings: PatchSettings,
    executor: Executor | None = None,
    progress: Callable[[Progress], bool | None] | bool | None = None,
) -> dict[str, NDArray[Any]]:
    """The arrays of the step, for points with these activations, images and positions."""
    begin = time.perf_counter()
    found = {level.size: representatives(level, rows, image, settings.most) for level in grid.levels}
    point = _shown(list(found.values()), settings)
    moving: Window = window(network, layer, mass=settings.mass)
    boxes, total = moving.boxes(places[point]), len(np.unique(image[point]))
    with reporter(progress, "patches", total) as tell:

        def state(done: int) -> bool | None:
            return tell(Progress(done, total, "images", time.perf_counter() - begin))

        size = _fitting(moving.size, settings.side)
        pictures = cut_patches(network, source, image[point], boxes, size, executor=executor, tell=state)
    arrays: dict[str, NDArray[Any]] = {f"points.{size}": points for size, points in found.items()}
    return {**arrays, "point": point, "pictures": pictures, "boxes": boxes}


def _shown(found: list[NDArray[np.int64]], settings: PatchSettings) -> NDArray[np.int64]:
    """Indices of the points that get a picture, ascending."""
    wanted = np.concatenate([points[:, place] for place in range(settings.most) for points in found])
    distinct, first = np.unique(wanted[wanted >= 0], return_index=True)
    return np.sort(distinct[np.argsort(first)][: settings.pictures])


def _fitting(size: Size, side: int) -> Size:
    shrink = min(1.0, side / max(size))
    return max(1, round(size[0] * shrink)), max(1, round(size[1] * shrink))
