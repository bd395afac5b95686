"""`dream`: a photograph in which the network is shown more of what it sees there already, coarse patterns first."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from phosphene.ascent import Progress
from phosphene.backend import Network
from phosphene.draws import integer
from phosphene.errors import InvalidParameter, said
from phosphene.images import check_images
from phosphene.maps import upsample
from phosphene.objectives import Objective, as_objective
from phosphene.optimizers import Optimizer, sgd
from phosphene.progress import reporter
from phosphene.receptive_field import receptive_field
from phosphene.rendering import render
from phosphene.results import Renders
from phosphene.types import Size, UserObjective

__all__ = ["dream", "photograph_for"]


def dream(
    network: Network,
    image: ArrayLike,
    objective: Objective | UserObjective,
    *,
    octaves: int = 4,
    factor: float = 1.4,
    steps: int = 12,
    optimizer: Optimizer | None = None,
    seed: int = 0,
    progress: Callable[[Progress], bool | None] | bool | None = None,
) -> Renders:
    """DeepDream (Mordvintsev et al. 2015): gradient ascent from a photograph, from a small copy of it to the whole.

    At each octave the picture is the photograph at that size and what was added to it so far, enlarged: patterns are first laid
    out wide, then worked out in detail, and the photograph stays sharp.

    Parameters
    ----------
    network : Network
        One that takes images of other sizes than its own; with ``octaves=1`` any.
    image : array-like (H, W, C)
        In [0, 1], at least as large as what one position of the objective's layer sees.
    objective : Objective or function
        Usually ``phosphene.layer("stage2")``: everything a layer sees; or any other.
    octaves : int, default 4
        Sizes, the photograph's own last. Those below what the layer sees are left out.
    factor : float, default 1.4
        From one size to the next, above 1.
    steps : int, default 12
        Gradient evaluations an octave.
    optimizer : Optimizer, optional
        Steps of one length when absent: ``phosphene.sgd(1.5 / 255, normalize=True)``.
    seed, progress
        As of `phosphene.render`.

    Returns
    -------
    Renders
        One picture, of the photograph's size.

    Raises
    ------
    InvalidParameter
        For a photograph that is smaller than what the layer sees, and for parameters outside what is allowed.
    InvalidImages
        For a photograph that is none.
    """
    octaves, steps = integer("octaves", octaves, minimum=1), integer("steps", steps, minimum=1)
    if not 1 < factor < float("inf"):
        raise InvalidParameter("factor", allowed="a number above 1", received=factor, fix="The usual one is 1.4.")
    wanted = as_objective(objective)
    photograph, least = photograph_for(network, image, wanted)
    whole: Size = (photograph.shape[0], photograph.shape[1])
    sizes = [(round(whole[0] / factor**octave), round(whole[1] / factor**octave)) for octave in range(octaves)][::-1]
    sizes = [size for size in sizes if size[0] >= least[0] and size[1] >= least[1]] or [whole]
    added = np.zeros((*sizes[0], photograph.shape[2]), np.float32)
    found: Renders | None = None
    with reporter(progress, "dream", steps * len(sizes)) as tell:
        for number, size in enumerate(sizes):

            def told(state: Progress, before: int = number * steps) -> bool | None:
                return tell(replace(state, done=state.done + before, total=steps * len(sizes)))

            here = _resized(photograph, size)
            found = render(
                network, wanted, size=size, steps=steps, seed=seed + number, preset="deepdream", warm_up=0, crop=False,
                start=np.clip(here + _resized(added, size), 0.0, 1.0), optimizer=optimizer or sgd(1.5 / 255, normalize=True),
                progress=told,
            )  # fmt: skip
            added = found.images[0] - here
            if "interrupted" in found.status:
                break
    if found is None:  # sizes are never empty
        raise AssertionError
    if found.images.shape[1:3] != whole:  # it was stopped on the way
        images = np.clip(photograph + _resized(added, whole), 0.0, 1.0)[None]
        found = replace(found, images=images.astype(np.float32), parameters=None)
    settings = {**found.settings, "dream": {"octaves": [list(size) for size in sizes], "factor": factor}}
    return replace(found, settings=settings, labels=(f"dream of {found.labels[0]}",))


def photograph_for(network: Network, image: Any, objective: Objective) -> tuple[NDArray[np.float32], Size]:
    """The photograph, and the least size at which one position of the objective's layers sees nothing but it.

    Raises
    ------
    InvalidParameter
        When it is smaller.
    """
    images = check_images(image, network.input, parameter="image")
    if len(images) != 1:
        raise InvalidParameter("image", allowed="one photograph", received=said(f"{len(images)}"), fix="image[0]")
    with network.scope():
        layers = objective.bind(network, network.shapes(network.input.size)).form.layers
    fields = [receptive_field(network, path) for path in layers]
    least = (max(field[0] for field in fields), max(field[1] for field in fields))
    if images.shape[1] < least[0] or images.shape[2] < least[1]:
        raise InvalidParameter(
            "image", allowed=f"a photograph of at least {least[0]} x {least[1]} pixels, which {', '.join(layers)} sees at once",
            received=said(f"{images.shape[1]} x {images.shape[2]}"), fix="Enlarge it, or take an earlier layer.",
        )  # fmt: skip
    return images[0], least


def _resized(image: NDArray[np.floating[Any]], size: Size) -> NDArray[np.float32]:
    return np.stack([upsample(image[None, ..., channel], size)[0] for channel in range(image.shape[-1])], axis=-1)
