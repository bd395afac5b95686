"""A sequence of transforms as stages: consecutive affine transforms are one resampling, every other one a stage of its own."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from phosphene.arrays import tree_map
from phosphene.backend import Backend
from phosphene.draws import generator
from phosphene.errors import InvalidParameter
from phosphene.transforms import Affine, Pointwise, Transform
from phosphene.transforms.affine import Pad, Resize
from phosphene.types import Array, Floats, Size, Tree
from phosphene.warps import KINDS, exact

__all__ = [
    "FILL",
    "Pipeline",
    "apply",
    "can_be_windowed",
    "draw",
    "pipeline",
    "pipeline_constants",
    "seen_size",
    "windowed",
]

FILL = 0.5
"""Value of pixels outside the image: mid-grey, near which every parameterization starts."""


@dataclass(frozen=True)
class Warp:
    """Consecutive affine transforms, composed into one resampling from `source` to `size`."""

    transforms: tuple[Affine, ...]
    source: Size
    size: Size
    kind: str
    window: Size | None = None
    """Size of the part of the result that is computed (default: all of it). Its origin is each target's own."""


@dataclass(frozen=True)
class Point:
    """A transform that is not affine."""

    transform: Pointwise
    size: Size


@dataclass(frozen=True)
class Pipeline:
    """Stages from an image of size `canvas` to what the network is given, of size `seen`."""

    stages: tuple[Warp | Point, ...]
    canvas: Size
    seen: Size


def pipeline(transforms: Sequence[Transform], canvas: Size, seen: Size) -> Pipeline:
    """Stages that apply `transforms` to an image of size `canvas` and give the network an image of size `seen`.

    The first resampling goes to `seen`. Without transforms, and with equal sizes, there are no stages.

    Raises
    ------
    InvalidParameter
        If an item is not a transform, or if a resize comes after a transform that is not affine.
    """
    runs: list[list[Affine] | Pointwise] = []
    for index, transform in enumerate(transforms):
        if isinstance(transform, Affine):
            if runs and isinstance(runs[-1], list):
                runs[-1].append(transform)
            else:
                runs.append([transform])
        elif isinstance(transform, Pointwise):
            runs.append(transform)
        else:
            raise InvalidParameter(
                f"transforms[{index}]",
                allowed="a transform",
                received=transform,
                fix="For example ph.transforms.jitter(8).",
            )
    affine = [run for run in runs if isinstance(run, list)]
    if any(isinstance(transform, Resize) for run in affine[1:] for transform in run):
        raise InvalidParameter(
            "transforms",
            allowed="a resize before any transform that is not affine",
            received=list(transforms),
            fix="The first resampling goes to the network's size: put resize before noise, roll and colour.",
        )
    if canvas != seen and not affine:
        runs.insert(0, [])
    stages: list[Warp | Point] = []
    size = canvas
    for run in runs:
        if isinstance(run, Pointwise):
            stages.append(Point(run, size))
            continue
        grown = sum(transform.growth for transform in run)
        around = (size[0] + 2 * grown, size[1] + 2 * grown)
        moving = tuple(transform.at(around) for transform in run if not isinstance(transform, Pad))
        if not moving and size == seen:
            continue
        kind = KINDS[max((KINDS.index(transform.kind) for transform in moving), default=0)]
        if kind == "shift" and any((a - b) % 2 for a, b in zip(size, seen, strict=True)):
            kind = "separable"  # the two centres are half a pixel apart
        stages.append(Warp(moving, size, seen, kind))
        size = seen
    return Pipeline(tuple(stages), canvas, seen)


def can_be_windowed(chain: Pipeline) -> bool:
    """Whether a window of the result can be computed without the rest of it.

    It cannot if the image is resampled twice, or if a transform after the resampling (noise, colour) makes random draws for the
    size it is given.
    """
    warps = [stage for stage in chain.stages if isinstance(stage, Warp)]
    return not warps or (len(warps) == 1 and chain.stages[-1] is warps[0])


def windowed(chain: Pipeline, size: Size) -> Pipeline:
    """The same stages, ending in a window of `size` whose origin is each target's own; see `can_be_windowed`."""
    last = chain.stages[-1] if chain.stages else None
    if isinstance(last, Warp):
        return Pipeline((*chain.stages[:-1], replace(last, window=size)), chain.canvas, size)
    return Pipeline((*chain.stages, Warp((), chain.canvas, chain.seen, "shift", size)), chain.canvas, size)


def seen_size(transforms: Sequence[Transform], canvas: Size) -> Size:
    """Height and width of what the network is given: the canvas with its padding, or what it is resized to."""
    for transform in reversed(transforms):
        if isinstance(transform, Resize):
            return transform.size
    margin = sum(transform.growth for transform in transforms if isinstance(transform, Affine))
    return canvas[0] + 2 * margin, canvas[1] + 2 * margin


def draw(chain: Pipeline, seed: int, key: str, steps: int, origin: Size = (0, 0), copies: int = 1) -> Tree:
    """Random transforms of all steps of one target.

    Parameters
    ----------
    chain : Pipeline
    seed : int
    key : str
        What tells the target from others of the same seed.
    steps : int
    origin : (int, int), default (0, 0)
        First row and column of the window, if the pipeline ends in one. The random numbers do not depend on it.
    copies : int, default 1
        Transformed copies per step.

    Returns
    -------
    tuple
        One item per stage: NumPy arrays whose first axis is `steps`, the second `copies` if there are several.
    """
    result: list[Tree] = []
    for index, stage in enumerate(chain.stages):
        random = generator(seed, key, f"stage {index}")
        if isinstance(stage, Point):
            result.append(stage.transform.draws(random, steps * copies, stage.size))
        else:
            result.append(_matrices(stage, random, steps * copies, origin if stage.window is not None else (0, 0)))
    if copies == 1:
        return tuple(result)
    return tree_map(lambda leaf: leaf.reshape(steps, copies, *leaf.shape[1:]), tuple(result))


def pipeline_constants(chain: Pipeline, channels: int) -> Tree:
    """NumPy arrays that stages share over all steps; an empty tuple for a stage without any."""
    return tuple(
        stage.transform.constants(stage.size, channels) if isinstance(stage, Point) else () for stage in chain.stages
    )


def apply(chain: Pipeline, backend: Backend, images: Array, draws: Tree, constants: Tree) -> Array:
    """Images ``(N, H, W, C)`` as the network sees them; `draws` are those of one step, with a first axis of N."""
    for stage, drawn, fixed in zip(chain.stages, draws, constants, strict=True):
        if isinstance(stage, Warp):
            images = backend.warp(images, drawn, stage.window or stage.size, fill=FILL, kind=stage.kind)
        else:
            images = stage.transform.apply(backend.xp, images, drawn, fixed)
    return images


def _matrices(stage: Warp, random: np.random.Generator, steps: int, origin: Size) -> Floats:
    total = np.tile(np.eye(3), (steps, 1, 1))
    for transform in stage.transforms:
        total = total @ transform.matrices(random, steps)
    to_centre, from_centre = np.eye(3), np.eye(3)
    to_centre[:2, 2] = -(stage.size[1] - 1) / 2, -(stage.size[0] - 1) / 2
    from_centre[:2, 2] = (stage.source[1] - 1) / 2, (stage.source[0] - 1) / 2
    # Rounded before it is moved: whole pixels of an exact matrix are exact, and the same as in the whole.
    matrices = exact((from_centre @ total @ to_centre)[:, :2])
    return matrices + matrices[..., :2] @ [[0, 0, origin[1]], [0, 0, origin[0]]]
