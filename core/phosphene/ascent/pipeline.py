"""From a sequence of transforms to stages: a run of affine transforms is one warp, everything else a stage of its own."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from phosphene.arrays import tree_map
from phosphene.backend import Backend
from phosphene.draws import generator
from phosphene.errors import InvalidParameter
from phosphene.transforms import Affine, Pad, Pointwise, Resize, Transform
from phosphene.types import Array, Floats, Size, Tree
from phosphene.warps import KINDS, exact

__all__ = ["FILL", "Pipeline", "apply", "cropped", "draw", "pipeline", "pipeline_constants", "window_of"]

FILL = 0.5
"""What stands outside the image: mid-grey, which no parameterization starts far from."""


@dataclass(frozen=True)
class Warp:
    """A run of affine transforms, composed into one resampling."""

    transforms: tuple[Affine, ...]
    source: Size
    size: Size
    kind: str
    crop: Size | None = None
    """What is computed of `size`, from an origin that is each target's own."""


@dataclass(frozen=True)
class Point:
    """A transform that is no affine map."""

    transform: Pointwise
    size: Size


@dataclass(frozen=True)
class Pipeline:
    """Stages from the canvas to the window that the network sees."""

    stages: tuple[Warp | Point, ...]
    canvas: Size
    window: Size


def pipeline(transforms: Sequence[Transform], canvas: Size, window: Size) -> Pipeline:
    """Stages for `transforms` between an image of size `canvas` and a network that sees `window`.

    The first warp goes straight to the window; without transforms and with window and canvas alike there is no stage at all.
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
                f"transforms[{index}]", allowed="a transform", received=transform, fix="For example ph.jitter(8)."
            )
    affine = [run for run in runs if isinstance(run, list)]
    if any(isinstance(transform, Resize) for run in affine[1:] for transform in run):
        raise InvalidParameter(
            "transforms", allowed="a resize before whatever is no affine map", received=list(transforms),
            fix="The first resampling goes to the network's size: put ph.resize before ph.noise and its like.",
        )  # fmt: skip
    if canvas != window and not affine:
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
        if not moving and size == window:
            continue
        kind = KINDS[max((KINDS.index(transform.kind) for transform in moving), default=0)]
        if kind == "shift" and any((a - b) % 2 for a, b in zip(size, window, strict=True)):
            kind = "separable"  # the two centres are half a pixel apart
        stages.append(Warp(moving, size, window, kind))
        size = window
    return Pipeline(tuple(stages), canvas, window)


def cropped(plan: Pipeline, size: Size) -> Pipeline | None:
    """The same stages, ending in a window of `size` whose origin is each target's own.

    None where that is not a crop of what the whole would be: where the image is resampled twice, or something after the
    resampling (noise, colour) is drawn for the size that it sees.
    """
    warps = [stage for stage in plan.stages if isinstance(stage, Warp)]
    if not warps:
        return Pipeline((*plan.stages, Warp((), plan.canvas, plan.window, "shift", size)), plan.canvas, size)
    if len(warps) > 1 or plan.stages[-1] is not warps[0]:
        return None
    return Pipeline((*plan.stages[:-1], replace(warps[0], crop=size)), plan.canvas, size)


def window_of(transforms: Sequence[Transform], canvas: Size) -> Size:
    """Height and width that the network sees of a canvas: grown by pads, or what it is resized to."""
    for transform in reversed(transforms):
        if isinstance(transform, Resize):
            return transform.size
    margin = sum(transform.growth for transform in transforms if isinstance(transform, Affine))
    return canvas[0] + 2 * margin, canvas[1] + 2 * margin


def draw(plan: Pipeline, seed: int, key: str, steps: int, origin: Size = (0, 0), views: int = 1) -> Tree:
    """All draws of one target: a tuple over stages, NumPy arrays with a leading axis of `steps`, then one of `views` where several.

    The draws do not depend on `origin`, the first row and column of the window where the pipeline ends in a crop.
    """
    result: list[Tree] = []
    for index, stage in enumerate(plan.stages):
        random = generator(seed, key, f"stage {index}")
        if isinstance(stage, Point):
            result.append(stage.transform.draws(random, steps * views, stage.size))
        else:
            result.append(_matrices(stage, random, steps * views, origin if stage.crop is not None else (0, 0)))
    return (
        tree_map(lambda leaf: leaf.reshape(steps, views, *leaf.shape[1:]), tuple(result))
        if views > 1
        else tuple(result)
    )


def pipeline_constants(plan: Pipeline, channels: int) -> Tree:
    """NumPy arrays of the stages that need some."""
    return tuple(
        stage.transform.constants(stage.size, channels) if isinstance(stage, Point) else () for stage in plan.stages
    )


def apply(plan: Pipeline, backend: Backend, images: Array, draws: Tree, constants: Tree) -> Array:
    """Images as the network sees them; `draws` of one step, with a leading axis of N."""
    for stage, drawn, fixed in zip(plan.stages, draws, constants, strict=True):
        if isinstance(stage, Warp):
            images = backend.warp(images, drawn, stage.crop or stage.size, fill=FILL, kind=stage.kind)
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
