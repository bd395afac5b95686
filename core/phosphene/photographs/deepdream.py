"""`dream`: DeepDream, gradient ascent from a photograph over several scales."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from phosphene.backend import Network
from phosphene.data.declaration import ImagesLike
from phosphene.data.in_memory import read_photograph
from phosphene.errors import InvalidParameter, said
from phosphene.kit.checks import a_network, canvas_size, integer, number, seed_of
from phosphene.kit.maps import upsample
from phosphene.kit.progress import Progress, reporter
from phosphene.objectives import Objective
from phosphene.objectives.location import ShapesAt
from phosphene.objectives.targets import summed
from phosphene.optimizers import Optimizer, sgd
from phosphene.receptive_field import receptive_field
from phosphene.rendering.call import render
from phosphene.rendering.recipe import MOST_STEPS
from phosphene.rendering.result import Renders
from phosphene.types import Size, UserObjective

__all__ = ["dream", "photograph_for"]

MOST_OCTAVES = 64


def dream(
    network: Network,
    image: ImagesLike,
    objective: str | Objective | UserObjective | Sequence[str | Objective | UserObjective],
    *,
    size: int | Size | None = None,
    octaves: int = 4,
    factor: float = 1.4,
    steps: int = 12,
    optimizer: Optimizer | None = None,
    seed: int = 0,
    progress: Callable[[Progress], bool | None] | bool | None = None,
) -> Renders:
    """Amplify what an objective detects in a photograph, at increasing scales (DeepDream, Mordvintsev et al. 2015).

    Each octave starts from the photograph at its size plus the upsampled change of the previous octaves: coarse patterns come
    first, details later, and the photograph itself stays sharp.

    Parameters
    ----------
    network : Network
        A network that accepts images of other sizes than its own; with ``octaves=1`` any network.
    image : image
        Photograph, at least as large as the receptive field of the objective's layer: anything that `phosphene.images` takes, if it
        is one image. It keeps its own size, unless `size` or a resizing rule (``ph.images(photograph, fit="pad")``) is stated.
    objective : Objective, str, function, or a sequence of them
        Usually ``phosphene.objectives.layer("stage2")``, which maximises everything the layer detects. Several are summed, also
        those that text stands for, such as ``"stage2:0-15"``.
    size : int or (int, int), optional
        Height and width in pixels to which a picture or a file is fitted by the network's resizing rule (default: its own).
    octaves : int, default 4
        Number of sizes; the last is that of the photograph. Sizes below the receptive field are left out.
    factor : float, default 1.4
        Ratio between successive sizes, above 1.
    steps : int, default 12
        Gradient evaluations per octave.
    optimizer : Optimizer, optional
        Default: steps of constant length, ``phosphene.optimizers.sgd(1.5 / 255, normalize=True)``.
    seed, progress
        As in `phosphene.render`.

    Returns
    -------
    Renders
        One picture, of the size of the photograph.

    Raises
    ------
    InvalidParameter
        For a photograph smaller than the receptive field, and for parameters outside their range.
    InvalidImages
        For a photograph of the wrong shape, dtype or range.
    """
    octaves, steps = (
        integer("octaves", octaves, minimum=1, maximum=MOST_OCTAVES),
        integer("steps", steps, minimum=1, limit=MOST_STEPS),
    )
    factor = number("factor", factor, minimum=1.0, open_minimum=True, example=1.4)
    a_network(network)
    seed, wanted = seed_of(seed, ahead=MOST_OCTAVES), summed(objective)
    photograph, least = photograph_for(network, image, wanted, size, own_size=True)
    whole: Size = (photograph.shape[0], photograph.shape[1])
    sizes = [(round(whole[0] / factor**octave), round(whole[1] / factor**octave)) for octave in range(octaves)][::-1]
    sizes = [size for size in sizes if size[0] >= least[0] and size[1] >= least[1]] or [whole]
    added = np.zeros((*sizes[0], photograph.shape[2]), np.float32)
    found: Renders | None = None
    with reporter(progress, "dream", steps * len(sizes)) as tell:
        for index, size in enumerate(sizes):

            def told(state: Progress, before: int = index * steps) -> bool | None:
                return tell(replace(state, done=state.done + before, total=steps * len(sizes)))

            here = _resized(photograph, size)
            found = render(
                network,
                wanted,
                size=size,
                steps=steps,
                seed=seed + index,
                preset="deepdream",
                warm_up=0,
                crop=False,
                start=np.clip(here + _resized(added, size), 0.0, 1.0),
                optimizer=sgd(1.5 / 255, normalize=True) if optimizer is None else optimizer,
                progress=told,
            )
            added = found.images[0] - here
            if "interrupted" in found.status:
                break
    if found is None:  # sizes are never empty
        raise AssertionError
    if found.images.shape[1:3] != whole:  # the run was stopped before the last octave
        images = np.clip(photograph + _resized(added, whole), 0.0, 1.0)[None]
        found = replace(found, images=images.astype(np.float32), parameters=None)
    settings = {**found.settings, "dream": {"octaves": [list(size) for size in sizes], "factor": factor}}
    return replace(found, settings=settings, labels=(f"dream of {found.labels[0]}",))


def photograph_for(
    network: Network, image: Any, objective: Objective, size: int | Size | None, *, own_size: bool
) -> tuple[NDArray[np.float32], Size]:
    """Check the photograph, and return it with the smallest size allowed: the receptive field of the objective's layers.

    Raises
    ------
    InvalidParameter
        When the photograph is smaller than that, or there are several.
    """
    wanted = None if size is None else canvas_size(network, size)
    photograph = read_photograph(image, network.input, size=wanted, own_size=own_size)
    height, width = photograph.shape[:2]
    with network.scope():
        layers = objective.bind(network, ShapesAt(network, (height, width))).form.layers
    fields = [receptive_field(network, path) for path in layers]
    least = (max(field[0] for field in fields), max(field[1] for field in fields))
    if height < least[0] or width < least[1]:
        raise InvalidParameter(
            "image",
            allowed=f"a photograph of at least {least[0]} x {least[1]} pixels, the receptive field of {', '.join(layers)}",
            received=said(f"{height} x {width}"),
            fix="Enlarge it, or choose an earlier layer.",
        )
    return photograph, least


def _resized(image: NDArray[np.floating[Any]], size: Size) -> NDArray[np.float32]:
    return np.stack([upsample(image[None, ..., channel], size)[0] for channel in range(image.shape[-1])], axis=-1)
