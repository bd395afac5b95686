"""The patch test: whether a patch causes the prediction of a class when it is pasted into images of other classes.

A cell of a class atlas suggests a cause, but is only correlated with the class. Pasted into images of other classes, a cause
makes the model predict the class (Carter et al. 2019 did this by hand, with a baseball that turned a grey whale into a shark).
Any paste affects a model, so patches of the same class without that cue are pasted at the same places as a control.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from phosphene.atlas.windows import resized, total_stride
from phosphene.backend import Network
from phosphene.data.declaration import ImagesLike
from phosphene.data.source import Source
from phosphene.data.sources import source_of
from phosphene.data.streams import picked
from phosphene.draws import generator
from phosphene.errors import InvalidImages, InvalidParameter, said
from phosphene.extraction.call import read_layers
from phosphene.kit.arguments import an_executor, array_like, capped, optional_integer
from phosphene.kit.checks import LARGEST_SIDE, a_network, boolean, integer, numbers, seed_of
from phosphene.kit.progress import Progress, check_progress, reporter
from phosphene.layers import OUTPUT
from phosphene.objectives.declarations import class_index
from phosphene.trust.scores import wilson
from phosphene.types import Size

__all__ = ["Cutouts", "PatchTest", "others", "pasted", "patch_test"]

BATCH = 32
"""Images per batch; all batches have the same size, so that one program is compiled."""

HALF = 0.5
"""Share of flips above which a patch decides the class."""


MOST_TRIES = 100_000
"""Largest number of tries: more do not narrow the interval by a tenth of a percent."""


@dataclass(frozen=True)
class Cutouts:
    """Patches of one size, and where in their images they were cut.

    Attributes
    ----------
    pictures : (K, h, w, C) uint8
    corners : (K, 2) int64, or None
        Row and column of the upper left corner of each in its image, in pixels; None for pictures that were not cut from an
        image, such as icons.
    """

    pictures: NDArray[np.uint8]
    corners: NDArray[np.int64] | None = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "pictures", _bytes("pictures", self.pictures))
        if self.corners is not None:
            corners = array_like("corners", self.corners, kinds="iu", allowed="an array (K, 2) of integers, or None")
            object.__setattr__(self, "corners", corners)


@dataclass(frozen=True)
class PatchTest:
    """The result of a patch test.

    Attributes
    ----------
    target : int
        Index of the class.
    asked : int
        Number of tries: a cue and a control were each pasted into this number of images.
    flips, control_flips : int
        Number of cues and of controls after which the model predicted the class.
    interval, control_interval : (float, float)
        95% confidence intervals of both rates (Wilson 1927).
    """

    target: int
    asked: int
    flips: int
    control_flips: int
    interval: tuple[float, float]
    control_interval: tuple[float, float]

    @property
    def rate(self) -> float:
        """Share of cues that flipped the prediction."""
        return self.flips / self.asked

    @property
    def control_rate(self) -> float:
        """Share of controls that flipped the prediction."""
        return self.control_flips / self.asked

    @property
    def word(self) -> str:
        """The verdict: the cue "decides" (flips most images), "helps" (flips more than the control), or "nothing"."""
        if self.interval[0] <= self.control_interval[1]:
            return "nothing"
        return "decides" if self.interval[0] > HALF > self.control_interval[1] else "helps"


def patch_test(
    network: Network,
    cues: Cutouts | ArrayLike,
    controls: Cutouts | ArrayLike,
    images: ImagesLike,
    target: int | str,
    *,
    tries: int = 100,
    seed: int = 0,
    sizes: tuple[float, float] = (1.0, 1.0),
    in_step: bool = True,
    batch: int = BATCH,
    count: int | None = None,
    executor: Executor | None = None,
    progress: Callable[[Progress], bool | None] | bool | None = None,
) -> PatchTest:
    """Test how often pasted patches make a model predict a class, compared with patches of that class without the cue.

    Each try draws an image for which the model predicts another class, a cue, a control, a size and a place. Cue and control are
    pasted at the same place of the same image.

    Parameters
    ----------
    network : Network
    cues : Cutouts, or array-like (K, h, w, C)
        Patches that show the cue; an array is uint8 or floats in [0, 1].
    controls : Cutouts, or array-like (K, h, w, C)
        Patches of the same class and size that do not show it.
    images : images
        Images of all classes: anything that `phosphene.images` takes.
    target : int or str
        The class, by index or name.
    tries : int, default 100
        Number of tries. Images are reused if there are fewer.
    seed : int, default 0
        Random seed. With more tries the first ones stay the same, as long as the images do.
    sizes : (float, float), default (1, 1)
        Smallest and largest size relative to the patch's own. Networks are sensitive to scale: a planted mark that flipped 97%
        of images at its own size flipped 25% between 0.9 and 1.1 times that size.
    in_step : bool, default True
        Whether patches are moved only by multiples of the network's stride from where they were cut. A network with strides is
        not invariant to smaller shifts (Azulay and Weiss 2019; Zhang 2019): the same mark at arbitrary places flipped 12%.
        Patches given as an array are pasted anywhere.
    batch : int, default 32
        Images per batch.
    count, executor
        See `phosphene.activations`.
    progress : callable or bool, optional
        See `phosphene.render`. If it stops the test, the result covers the tries so far.

    Returns
    -------
    PatchTest

    Raises
    ------
    UnknownClass
        When there is no such class.
    InvalidParameter
        For arrays that are not patches, patches as large as the image, and invalid parameters.
    InvalidImages
        When the model predicts the target for every image.
    """
    tries, seed = capped("tries", tries, minimum=1, most=MOST_TRIES), seed_of(seed)
    batch, in_step = min(integer("batch", batch, minimum=1), tries), boolean("in_step", in_step)
    sizes = _sizes(sizes)
    count = optional_integer("count", count, minimum=1)
    an_executor(executor)
    check_progress(progress)
    number = class_index(a_network(network), target)
    spec = network.input
    given = [_checked(name, value, network) for name, value in (("cues", cues), ("controls", controls))]
    source = source_of(images, spec, count=count)
    pool = others(network, source, number, tries, seed=seed, batch=batch, executor=executor)
    begin = time.perf_counter()
    with reporter(progress, "paste", tries) as tell:
        return pasted(
            network,
            given[0],
            given[1],
            pool,
            number,
            tries=tries,
            seed=seed,
            sizes=sizes,
            in_step=in_step,
            batch=batch,
            tell=lambda done: tell(Progress(done, tries, "images", time.perf_counter() - begin)),
        )


def others(
    network: Network,
    source: Source,
    target: int,
    tries: int,
    *,
    seed: int = 0,
    batch: int = BATCH,
    executor: Executor | None = None,
) -> NDArray[np.uint8]:
    """Draw images for which a model does not predict the target: at most `tries`, ``(n, H, W, C)`` uint8.

    Raises
    ------
    InvalidImages
        When there is none among twice as many as needed.
    """
    spec = network.input
    drawn = generator(seed, "patch test images", str(len(source))).permutation(len(source))[: 2 * tries]
    pixels = np.empty((len(drawn), *spec.size, spec.channels), np.uint8)
    order = np.argsort(drawn)
    rows = picked(source, drawn[order].tolist(), spec.size, spec.channels, executor=executor)
    for row, picture in zip(order, rows, strict=True):
        pixels[row] = np.round(picture * 255).clip(0, 255)
    named = np.concatenate(
        [_named(network, pixels[start : start + batch], batch) for start in range(0, len(pixels), batch)]
    )
    found: NDArray[np.uint8] = pixels[named != target][:tries]
    if not len(found):
        raise InvalidImages(
            "images",
            allowed="images of other classes",
            received=said(f"{len(pixels)} for which the model always predicts the target"),
            fix="Pass images of all classes.",
        )
    return found


def pasted(
    network: Network,
    cues: Cutouts,
    controls: Cutouts,
    pool: NDArray[np.uint8],
    target: int,
    *,
    tries: int = 100,
    seed: int = 0,
    sizes: tuple[float, float] = (1.0, 1.0),
    in_step: bool = True,
    batch: int = BATCH,
    tell: Callable[[int], bool | None] | None = None,
) -> PatchTest:
    """Run the test on images of other classes ``(n, H, W, C)``; see `patch_test`."""
    sizes = _sizes(sizes)
    batch, in_step = min(integer("batch", batch, minimum=1), tries), boolean("in_step", in_step)
    stride = total_stride(network, (pool.shape[1], pool.shape[2])) if in_step else (1, 1)
    flips, asked = np.zeros(2, np.int64), 0
    for start in range(0, tries, batch):
        numbers = range(start, min(start + batch, tries))
        # Cues and controls use the same random numbers, in separate batches of equal size.
        for kind, patches in enumerate((cues, controls)):
            made = np.stack([_paste(pool, patches, number, seed, sizes, stride) for number in numbers])
            flips[kind] += int((_named(network, made, batch) == target).sum())
        asked = numbers[-1] + 1
        if tell is not None and tell(asked) is False:
            break
    (least, other_least), (most, other_most) = wilson(flips, asked)
    return PatchTest(
        target,
        asked,
        int(flips[0]),
        int(flips[1]),
        (float(least), float(most)),
        (float(other_least), float(other_most)),
    )


def _paste(
    pool: NDArray[np.uint8], patches: Cutouts, number: int, seed: int, sizes: tuple[float, float], stride: Size
) -> NDArray[np.uint8]:
    """One image with one pasted patch."""
    random = generator(seed, "patch test", str(number))
    which, scale, *place = random.random(4)
    picture: NDArray[np.uint8] = pool[number % len(pool)].copy()
    chosen = int(which * len(patches.pictures))
    patch = patches.pictures[chosen]
    factor = sizes[0] + (sizes[1] - sizes[0]) * scale
    corner = []
    shape = [
        min(max(1, round(side * factor)), whole) for side, whole in zip(patch.shape[:2], picture.shape, strict=False)
    ]
    for axis in (0, 1):
        places = np.arange(picture.shape[axis] - shape[axis] + 1)
        if patches.corners is not None:
            # A resized patch keeps its centre.
            own = int(patches.corners[chosen, axis]) + (patch.shape[axis] - shape[axis]) // 2
            # A patch almost as large as the image may fit nowhere in step; it then stays as close as possible to its own place.
            in_step = places[(places - own) % stride[axis] == 0]
            places = in_step if len(in_step) else places[[int(np.clip(own, 0, places[-1]))]]
        corner.append(int(places[int(place[axis] * len(places))]))
    top, left = corner
    picture[top : top + shape[0], left : left + shape[1]] = resized(patch, (shape[0], shape[1]))
    return picture


def _named(network: Network, pixels: NDArray[np.uint8], batch: int) -> NDArray[np.int64]:
    """The class that a model predicts for each image."""
    output = read_layers(network, pixels.astype(np.float32) / np.float32(255), (OUTPUT,), batch)[OUTPUT]
    # Logits at several positions are averaged, as in the collection of an atlas.
    found: NDArray[np.int64] = output.reshape(len(output), -1, output.shape[-1]).mean(axis=1).argmax(axis=1)
    return found


def _sizes(sizes: Any) -> tuple[float, float]:
    """Check the smallest and the largest size of a patch, relative to its own."""
    fix = "For example sizes=(1, 1), the patch's own size."
    given = numbers("sizes", sizes, minimum=0, open_minimum=True, fix=fix)
    if len(given) == 1:
        given *= 2
    if len(given) != 2 or not given[0] <= given[1] <= LARGEST_SIDE:
        raise InvalidParameter("sizes", allowed="two positive numbers, the smaller first", received=sizes, fix=fix)
    return given[0], given[1]


def _checked(name: str, given: Cutouts | ArrayLike, network: Network) -> Cutouts:
    cut = given if isinstance(given, Cutouts) else Cutouts(_bytes(name, given))
    (height, width), channels, shape = network.input.size, network.input.channels, cut.pictures.shape
    if len(shape) != 4 or 0 in shape or shape[-1] != channels:
        raise InvalidParameter(
            name,
            allowed=f"patches of shape (K, h, w, {channels}), at least one",
            received=said(f"shape {shape}"),
            fix="Put the channels last.",
        )
    if shape[1] > height or shape[2] > width or (shape[1] == height and shape[2] == width):
        raise InvalidParameter(
            name,
            allowed=f"patches smaller than the image of {height} x {width} pixels",
            received=said(f"{shape[1]} x {shape[2]} pixels"),
            fix="Cut smaller patches, for example by the window of an earlier layer.",
        )
    if cut.corners is not None and cut.corners.shape != (shape[0], 2):
        raise InvalidParameter(
            name,
            allowed=f"corners of shape ({shape[0]}, 2), one per patch",
            received=said(f"shape {cut.corners.shape}"),
            fix="Give one corner (row, column) per patch, or corners=None.",
        )
    return cut


def _bytes(name: str, given: ArrayLike | Sequence[object]) -> NDArray[np.uint8]:
    array = array_like(name, given, allowed="an array of patches, uint8 or floats in [0, 1]")
    if array.dtype == np.uint8:
        return array
    if not np.issubdtype(array.dtype, np.floating) or not (array.size and array.min() >= 0 and array.max() <= 1):
        raise InvalidParameter(
            name,
            allowed="uint8 patches, or floats in [0, 1]",
            received=said(f"dtype {array.dtype}, shape {array.shape}"),
            fix="Rescale the values to [0, 1].",
        )
    found: NDArray[np.uint8] = np.round(array * 255).astype(np.uint8)
    return found
