"""Step 8 of an atlas: an icon for each group of points, made by inverting its mean activation, coarse to fine."""

from __future__ import annotations

import functools
import logging
import time
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Executor
from contextlib import suppress
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from phosphene.atlas.atlas import Atlas, an_atlas
from phosphene.atlas.cells import Grid, Level
from phosphene.atlas.icon_set import Icons, groups_of, icons_from, icons_of, step_name
from phosphene.atlas.partition import directions
from phosphene.atlas.positions import places_of
from phosphene.atlas.steps import Kept, check_model, identity_of
from phosphene.backend import Network
from phosphene.extraction.call import activations
from phosphene.kit.arguments import an_executor, chosen, optional_integer
from phosphene.kit.checks import a_network, canvas_size, integer, number, pair_of, seed_of, text
from phosphene.kit.locks import Stopped
from phosphene.kit.progress import Progress, check_progress, reporter
from phosphene.objectives import direction
from phosphene.optimizers import adam
from phosphene.parameterizations import fourier
from phosphene.regularizers.penalties import total_variation
from phosphene.rendering.call import render
from phosphene.rendering.result import Renders
from phosphene.transforms import jitter
from phosphene.types import Floats, Size

__all__ = ["IconSettings", "draw_icons"]

LOG = logging.getLogger("phosphene")

SHARD = 256
"""Number of icons that are computed and kept together, and reused by a run that resumes."""

SLOTS = 64
"""Icons per batch. It is fixed since rounding depends on it, so that icons are reproducible."""

SHAKEN = 0.625
"""Share of the steps of an icon without parent that use a jitter of one pixel, which prevents grain."""

SMOOTH = 2.0
"""Weight of the total variation. With 0.05 the median fidelity is 0.9955 instead of 0.9936, but icons are grainy."""


@dataclass(frozen=True)
class IconSettings:
    """Settings of the icons.

    Attributes
    ----------
    size : int or (int, int), optional
        Height and width of the icons in pixels (default: the network's native input size).
    steps : int, default 64
        Gradient evaluations of an icon without parent, on the coarsest level.
    steps_from_parent : int, default 48
        Gradient evaluations of an icon that starts from its parent's image.
    retry_below : float, default 0.97
        Fidelity (see `Icons.fidelity`) below which an icon is optimized further, with a steeper objective and less smoothing;
        -1 never retries.
    tries : int, default 3
        Maximum number of tries, from the third on from noise; the best is kept.
    patience : int, optional
        Stop an icon whose objective has not risen by 1% for this number of steps (default: never).
    seed : int, default 0
        Random seed.
    """

    size: int | Size | None = None
    steps: int = 64
    steps_from_parent: int = 48
    retry_below: float = 0.97
    tries: int = 3
    patience: int | None = None
    seed: int = 0

    def __post_init__(self) -> None:
        for name in ("steps", "steps_from_parent", "tries"):
            integer(name, getattr(self, name), minimum=1)
        seed_of(self.seed)
        optional_integer("patience", self.patience, minimum=0)
        if self.size is not None:
            pair_of("size", self.size, minimum=2)
        number("retry_below", self.retry_below, minimum=-1, maximum=1, example=0.97)


def draw_icons(
    atlas: Atlas,
    network: Network,
    layer: str,
    settings: IconSettings | None = None,
    *,
    executor: Executor | None = None,
    progress: Callable[[Progress], bool | None] | bool | None = None,
) -> Atlas:
    """Invert the mean activation of each group at the central position (Carter et al. 2019), level by level.

    An icon maximises the cosine between the activation at the layer's central position and the mean of the group, minus the
    total variation of the image. An icon of a finer level starts from the most similar icon of the cell that contains its own.
    Shards of an earlier run are reused.

    Parameters
    ----------
    atlas : Atlas
        An atlas with a map of this layer; see `phosphene.atlas.chart`.
    network : Network
        The network that the atlas was collected with.
    layer : str
    settings : IconSettings, optional
    executor : concurrent.futures.Executor, optional
        A thread pool, which computes the shards of a level in parallel.
    progress : callable or bool, optional
        See `phosphene.render`; called after each shard. If it stops the run, finished shards are kept.

    Returns
    -------
    Atlas
        The same atlas, with `Atlas.icons`.

    Raises
    ------
    OtherStore
        When the atlas was collected from another model, or its folder holds icons with other settings.
    InvalidParameter
        For a layer without a map.
    """
    settings = chosen("settings", settings, IconSettings)
    text("layer", layer, fix="`Atlas.layers` lists them.")
    an_executor(executor)
    check_progress(progress)
    check_model(an_atlas(atlas), a_network(network))
    kept = atlas.steps.read(f"grid.{layer}")
    levels = kept.made(Grid.of).levels
    job = _Job(network, layer, settings, canvas_size(network, settings.size))
    total = sum(len(groups_of(level)) for level in levels)
    done, begin, above = 0, time.perf_counter(), None
    with reporter(progress, "icons", total) as tell, suppress(Stopped):

        def waiting(state: Progress) -> bool | None:
            return tell(Progress(done, total, "icons", time.perf_counter() - begin, state.message))

        keep = functools.partial(atlas.steps.keep, progress=waiting)
        for level in levels:
            parts: list[Kept] = []
            for part in _level(keep, job, level, kept.identity, above, executor):
                parts.append(part)
                done += len(part.arrays["groups"])
                state = Progress(done, total, "icons", time.perf_counter() - begin, f"{layer} {level.size}")
                if tell(state) is False:
                    return atlas
            above = Parents(
                level,
                icons_of(level, [part.made(functools.partial(icons_from, level)) for part in parts]),
                [part.identity for part in parts],
            )
    return atlas


@dataclass(frozen=True)
class Parents:
    """The next coarser level, its icons, and the identities of their shards."""

    level: Level
    icons: Icons
    identities: list[str]

    def images(self, level: Level, groups: NDArray[np.int64]) -> tuple[NDArray[np.uint8], NDArray[np.bool_]]:
        """The image from which each group starts, and whether there is one."""
        ratio = level.size // self.level.size
        above = {tuple(cell): index for index, cell in enumerate((self.level.cells).tolist())}
        owner = self.level.group_cells[self.icons.groups]
        means = directions(self.level.group_means[self.icons.groups])
        own = directions(level.group_means)
        found = np.zeros((len(groups), *self.icons.images.shape[1:]), np.uint8)
        known = np.zeros(len(groups), np.bool_)
        for row, group in enumerate(groups):
            cell = above.get(tuple((level.cells[level.group_cells[group]] // ratio).tolist()))
            candidates = np.flatnonzero(owner == cell) if cell is not None else np.empty(0, np.int64)
            if len(candidates):
                found[row] = self.icons.images[candidates[np.argmax(means[candidates] @ own[group])]]
                known[row] = True
        return found, known


@dataclass(frozen=True)
class _Job:
    network: Network
    layer: str
    settings: IconSettings
    canvas: Size

    def plain(self) -> dict[str, Any]:
        return {**asdict(self.settings), "size": list(self.canvas), "shard": SHARD}

    def made(
        self, means: NDArray[np.float32], images: NDArray[np.uint8], known: NDArray[np.bool_]
    ) -> dict[str, NDArray[Any]]:
        """Icons of some means: images, activations at the central position, evaluations, tries."""
        settings, wanted = self.settings, directions(means)
        found, evaluations = images.copy(), np.zeros(len(means), np.int32)
        for rows, start in ((np.flatnonzero(~known), False), (np.flatnonzero(known), True)):
            if len(rows):
                found[rows], evaluations[rows] = self._ascended(wanted[rows], images[rows] if start else None)
        seen = self.read(found)
        cosines, tries = np.einsum("nc,nc->n", directions(seen), wanted), np.ones(len(means), np.int32)
        for attempt in range(1, settings.tries):
            rows = np.flatnonzero(cosines < settings.retry_below)
            if not len(rows):
                break
            # Optimize further from the current icon, for the direction alone.
            pictures, cost = self._further(wanted[rows], found[rows], attempt)
            reached = self.read(pictures)
            own = np.einsum("nc,nc->n", directions(reached), wanted[rows])
            better = own > cosines[rows]
            found[rows[better]], seen[rows[better]] = pictures[better], reached[better]
            cosines[rows] = np.maximum(cosines[rows], own)
            evaluations[rows] += cost
            tries[rows] += 1
        return {"images": found, "activations": seen, "evaluations": evaluations, "tries": tries}

    def read(self, pictures: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Activations at the central position, ``(N, C)``, batch by batch to bound memory."""
        parts = []
        for first in range(0, len(pictures), SLOTS):
            batch = pictures[first : first + SLOTS].astype(np.float32) / np.float32(255)
            read = activations(self.network, batch, self.layer, batch=SLOTS)[self.layer]
            if read.ndim > 2:
                places = places_of(self.network.layers[self.layer], read.shape[1:])
                centre = np.array([[places.rows // 2, places.columns // 2]])
                flat = read.reshape(len(read), -1, read.shape[-1])
                read = flat[:, int(np.flatnonzero(places.mask(centre).reshape(-1))[0])]
            parts.append(read)
        return np.concatenate(parts)

    def _ascended(self, wanted: Floats, start: NDArray[np.uint8] | None) -> tuple[NDArray[np.uint8], NDArray[np.int32]]:
        """Optimize icons from noise, or from the images of their parents."""
        settings = self.settings
        if start is not None:
            renders = self._render(wanted, settings.steps_from_parent, _floats(start), rate=0.05)
            return _bytes(renders.images), renders.steps.astype(np.int32)
        shaken = max(1, round(SHAKEN * settings.steps))
        renders = self._render(wanted, shaken, None, rate=0.1, moved=True)
        cost = renders.steps.astype(np.int32)
        if settings.steps > shaken:
            # Continue from the parameters rather than the images, which would be rounded and clipped.
            renders = self._render(wanted, settings.steps - shaken, renders, rate=0.05)
            cost = cost + renders.steps.astype(np.int32)
        return _bytes(renders.images), cost

    def _further(
        self, wanted: Floats, start: NDArray[np.uint8], attempt: int
    ) -> tuple[NDArray[np.uint8], NDArray[np.int32]]:
        """Optimize icons further with little smoothing and an objective whose gradient does not vanish near its maximum.

        The second try starts from the current icon. Later tries start from noise with a small step size: for a target without
        structure, such as a dark surface, large steps add structure that the ascent cannot remove.
        """
        anew = attempt > 1
        steps = self.settings.steps if anew else self.settings.steps_from_parent
        renders = self._render(
            wanted,
            steps,
            None if anew else _floats(start),
            rate=0.02 if anew else 0.05,
            smooth=0.05,
            attempt=attempt,
            measure="log distance",
        )
        return _bytes(renders.images), renders.steps.astype(np.int32)

    def _render(
        self,
        wanted: Floats,
        steps: int,
        start: Any,
        *,
        rate: float,
        moved: bool = False,
        smooth: float = SMOOTH,
        measure: str = "cosine",
        attempt: int = 0,
    ) -> Renders:
        settings = self.settings
        return render(
            self.network,
            [direction(self.layer, one, at="centre", measure=measure) for one in wanted],
            size=self.canvas,
            steps=steps,
            seed=settings.seed + attempt,
            start=start,
            slots=SLOTS,
            parameterization=fourier(decay=1.0),
            optimizer=adam(rate),
            transforms=[jitter(1)] if moved else [],
            regularizers=[total_variation(smooth)],
            patience=settings.patience,
            progress=False,
        )


def _level(
    keep: Callable[..., Kept], job: _Job, level: Level, origin: str, above: Parents | None, executor: Executor | None
) -> Iterator[Kept]:
    """Compute the shards of one level, in order."""
    groups = groups_of(level)
    model = job.network.fingerprint()
    of = identity_of([origin, model, [] if above is None else above.identities])

    def shard(number: int) -> Kept:
        own = groups[number * SHARD : (number + 1) * SHARD]

        def make() -> dict[str, NDArray[Any]]:
            blank = np.zeros((len(own), *job.canvas, job.network.input.channels), np.uint8)
            start = (blank, np.zeros(len(own), np.bool_)) if above is None else above.images(level, own)
            return {"groups": own, **job.made(level.group_means[own], *start)}

        return keep(step_name(job.layer, level.size, number), job.plain(), of, make)

    numbers: Iterable[int] = range(-(-len(groups) // SHARD))
    yield from map(shard, numbers) if executor is None else executor.map(functools.partial(shard), numbers)


def _floats(images: NDArray[np.uint8]) -> NDArray[np.float32]:
    return images.astype(np.float32) / np.float32(255)


def _bytes(images: Floats) -> NDArray[np.uint8]:
    return np.round(np.clip(images, 0, 1) * 255).astype(np.uint8)
