"""The fifth step of an atlas: a picture of each cell, made coarse to fine, and how well it shows what is there."""

from __future__ import annotations

import functools
import logging
import time
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Executor
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from phosphene.activations import activations
from phosphene.ascent import Progress
from phosphene.atlas.atlas import Atlas
from phosphene.atlas.cells import Grid, Level
from phosphene.atlas.icon_set import Icons, groups_of, icons_of, step_name
from phosphene.atlas.origin import check_model
from phosphene.atlas.positions import places_of
from phosphene.atlas.splitting import directions
from phosphene.atlas.steps import Kept, identity_of
from phosphene.backend import Network
from phosphene.draws import integer
from phosphene.errors import InvalidParameter
from phosphene.objectives import direction
from phosphene.optimizers import adam
from phosphene.parameterizations import fourier
from phosphene.penalties import total_variation
from phosphene.progress import reporter
from phosphene.rendering import canvas_size, render
from phosphene.results import Renders
from phosphene.transforms import jitter
from phosphene.types import Floats, Size

__all__ = ["IconSettings", "draw_icons"]

LOG = logging.getLogger("phosphene")

SHARD = 256
"""Icons that are made, kept and, after a run that was killed, found again together."""

SLOTS = 64
"""Icons at a time. It is fixed, since rounding depends on it: the same atlas has the same icons."""

SHAKEN = 0.625
"""Share of the steps of an icon without parent in which the image is moved by a pixel, which keeps grain out of it."""

SMOOTH = 2.0
"""Weight of the total variation. With 0.05 icons are truer by 0.002 (median cosine 0.9955 for 0.9936), and all grain."""


@dataclass(frozen=True)
class IconSettings:
    """How icons are made.

    Attributes
    ----------
    size : int or (int, int), optional
        Height and width in pixels of the image that is made; the network's own when absent.
    steps : int, default 64
        Gradient evaluations of an icon without parent: one of the coarsest level.
    steps_from_parent : int, default 48
        Of one that starts from its parent's image.
    retry_below : float, default 0.97
        Fidelity (see `Icons.fidelity`) under which an icon goes on with an objective that presses it harder and smooths it less.
    tries : int, default 3
        Tries at most, the third anew from noise; the best is kept.
    patience : int, optional
        Stop an icon that has not risen by 1% for so many steps.
    seed : int, default 0
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
        integer("seed", self.seed)
        if not -1 <= self.retry_below <= 1:
            raise InvalidParameter(
                "retry_below", allowed="a cosine, -1 to 1", received=self.retry_below, fix="0.97 is usual; -1 is never."
            )


def draw_icons(
    atlas: Atlas,
    network: Network,
    layer: str,
    settings: IconSettings | None = None,
    *,
    executor: Executor | None = None,
    progress: Callable[[Progress], bool | None] | bool | None = None,
) -> Atlas:
    """Invert the mean activation of each group of cells at one position (Carter et al. 2019), level after level.

    An icon maximises the cosine of the activation at the layer's central position and the group's mean, less the image's total
    variation. A group of a finer level starts from the icon of that group of the cell above whose mean is most like its own.
    What an earlier run has done is found again, shard by shard.

    Parameters
    ----------
    atlas : Atlas
        One that was charted.
    network : Network
        That whose activations were collected.
    layer : str
    settings : IconSettings, optional
    executor : concurrent.futures.Executor, optional
        Threads, which make the shards of a level side by side.
    progress : callable or bool, optional
        See `phosphene.render`; told after each shard. One that stops leaves what was done.

    Returns
    -------
    Atlas
        The same, with `Atlas.icons`.

    Raises
    ------
    OtherStore
        When the atlas is of another model, or its folder holds icons of other settings.
    InvalidParameter
        For a layer that was not charted.
    """
    settings = settings or IconSettings()
    check_model(atlas, network)
    kept = atlas.steps.read(f"grid.{layer}")
    levels = Grid.of(kept.arrays).levels
    job = _Job(network, layer, settings, canvas_size(network, settings.size))
    total = sum(len(groups_of(level)) for level in levels)
    done, begin, above = 0, time.perf_counter(), None
    with reporter(progress, "icons", total) as tell:
        for level in levels:
            parts: list[Kept] = []
            for part in _level(atlas, job, level, kept.identity, above, executor):
                parts.append(part)
                done += len(part.arrays["groups"])
                state = Progress(done, total, "icons", time.perf_counter() - begin, f"{layer} {level.size}")
                if tell(state) is False:
                    return atlas
            above = Parents(level, icons_of(level, [part.arrays for part in parts]), [part.identity for part in parts])
    return atlas


@dataclass(frozen=True)
class Parents:
    """The level above, its icons, and the identities of the shards in which they are."""

    level: Level
    icons: Icons
    identities: list[str]

    def images(self, level: Level, groups: NDArray[np.int64]) -> tuple[NDArray[np.uint8], NDArray[np.bool_]]:
        """The image that each group starts from, and whether there is one."""
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
        """Icons of some means: images, activations at their position, evaluations, tries."""
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
            # From where it stands, and for the sake of the direction alone.
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
        """Activations at the central position, ``(N, C)``, batch by batch: a whole layer is larger than its centre."""
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
        """From noise, or from the images of the parents."""
        settings = self.settings
        if start is not None:
            renders = self._render(wanted, settings.steps_from_parent, _floats(start), rate=0.05)
            return _bytes(renders.images), renders.steps.astype(np.int32)
        shaken = max(1, round(SHAKEN * settings.steps))
        renders = self._render(wanted, shaken, None, rate=0.1, moved=True)
        cost = renders.steps.astype(np.int32)
        if settings.steps > shaken:
            # From its parameters, not its images: nothing is rounded or clipped on the way.
            renders = self._render(wanted, settings.steps - shaken, renders, rate=0.05)
            cost = cost + renders.steps.astype(np.int32)
        return _bytes(renders.images), cost

    def _further(
        self, wanted: Floats, start: NDArray[np.uint8], attempt: int
    ) -> tuple[NDArray[np.uint8], NDArray[np.int32]]:
        """With hardly a penalty, and an objective that does not slacken near its end: true rather than smooth.

        First from where the icon stands. Then anew, in small steps: on its way to a surface without structure, such as a dark
        one, an ascent in large steps puts structure there that it does not find out of.
        """
        anew = attempt > 1
        steps = self.settings.steps if anew else self.settings.steps_from_parent
        renders = self._render(
            wanted, steps, None if anew else _floats(start), rate=0.02 if anew else 0.05, smooth=0.05, attempt=attempt,
            measure="log distance",
        )  # fmt: skip
        return _bytes(renders.images), renders.steps.astype(np.int32)

    def _render(
        self, wanted: Floats, steps: int, start: Any, *, rate: float, moved: bool = False, smooth: float = SMOOTH,
        measure: str = "cosine", attempt: int = 0,
    ) -> Renders:  # fmt: skip
        settings = self.settings
        return render(
            self.network, [direction(self.layer, one, at="centre", measure=measure) for one in wanted], size=self.canvas,
            steps=steps, seed=settings.seed + attempt, start=start, slots=SLOTS, parameterization=fourier(decay=1.0),
            optimizer=adam(rate), transforms=[jitter(1)] if moved else [], regularizers=[total_variation(smooth)],
            patience=settings.patience, progress=False,
        )  # fmt: skip


def _level(
    atlas: Atlas, job: _Job, level: Level, origin: str, above: Parents | None, executor: Executor | None
) -> Iterator[Kept]:
    """The shards of one level, in order."""
    groups = groups_of(level)
    model = job.network.fingerprint()
    of = identity_of([origin, model, [] if above is None else above.identities])

    def shard(number: int) -> Kept:
        own = groups[number * SHARD : (number + 1) * SHARD]

        def make() -> dict[str, NDArray[Any]]:
            blank = np.zeros((len(own), *job.canvas, job.network.input.channels), np.uint8)
            start = (blank, np.zeros(len(own), np.bool_)) if above is None else above.images(level, own)
            return {"groups": own, **job.made(level.group_means[own], *start)}

        return atlas.steps.keep(step_name(job.layer, level.size, number), job.plain(), of, make)

    numbers: Iterable[int] = range(-(-len(groups) // SHARD))
    yield from map(shard, numbers) if executor is None else executor.map(functools.partial(shard), numbers)


def _floats(images: NDArray[np.uint8]) -> NDArray[np.float32]:
    return images.astype(np.float32) / np.float32(255)


def _bytes(images: Floats) -> NDArray[np.uint8]:
    return np.round(np.clip(images, 0, 1) * 255).astype(np.uint8)
