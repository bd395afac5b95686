"""Whether what a cell shows decides a class: its patches are pasted into images of other classes, and the model is asked again.

A cell of a class atlas is a guess: what looks like a reason may be none. Pasted into images of other classes, a reason makes the
model name the class (as Carter et al. 2019 did by hand, with a baseball that turned a grey whale into a shark). Any paste moves
a model, so patches of the same class without that reason are pasted at the same places, and count against it.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from phosphene.activations import ImagesLike, read_layers
from phosphene.ascent import Progress
from phosphene.atlas.cutting import resized
from phosphene.atlas.windows import total_stride
from phosphene.backend import Network
from phosphene.data.source import Source
from phosphene.data.sources import source_of
from phosphene.data.streaming import picked
from phosphene.draws import generator, integer
from phosphene.errors import InvalidImages, InvalidParameter, said
from phosphene.layers import OUTPUT
from phosphene.objectives.declarations import class_index
from phosphene.progress import reporter
from phosphene.trust.measures import wilson
from phosphene.types import Size

__all__ = ["Cutouts", "PatchTest", "others", "pasted", "patch_test"]

BATCH = 32
"""Images at a time; every batch has this size, so that one program is compiled."""

HALF = 0.5
"""Share of flips above which a patch decides."""


@dataclass(frozen=True)
class Cutouts:
    """Patches of one size, and where in their images they were.

    Attributes
    ----------
    pictures : (K, h, w, C) uint8
    corners : (K, 2) int64, or None
        Row and column of the upper left corner of each, in pixels; None for what is from no image, such as an icon.
    """

    pictures: NDArray[np.uint8]
    corners: NDArray[np.int64] | None = None


@dataclass(frozen=True)
class PatchTest:
    """What pasted patches did.

    Attributes
    ----------
    target : int
        The class.
    asked : int
        Images into which a cue was pasted, and as often a control at the same place.
    flips, control_flips : int
        After how many pastes the model named the class.
    interval, control_interval : (float, float)
        Of 95% of the rates (Wilson 1927).
    """

    target: int
    asked: int
    flips: int
    control_flips: int
    interval: tuple[float, float]
    control_interval: tuple[float, float]

    @property
    def rate(self) -> float:
        """Share of cues that flipped."""
        return self.flips / self.asked

    @property
    def control_rate(self) -> float:
        """Share of controls that flipped."""
        return self.control_flips / self.asked

    @property
    def word(self) -> str:
        """What it is evidence of: the cue "decides" (surely in most images), "helps" (surely more than a control), or "nothing"."""
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
    """How often pasted patches make a model name a class, against patches of that class without the cue.

    Each try draws an image that the model does not name so, a cue, a control, a size and a place; cue and control go to the same
    place of the same image.

    Parameters
    ----------
    network : Network
    cues : Cutouts, or array-like (K, h, w, C)
        Patches that show what is tested; as an array, bytes or floats in [0, 1].
    controls : Cutouts, or array-like (K, h, w, C)
        Patches of the same class and size that do not.
    images : array-like, path, sequence or iterable
        Of all classes, as of `phosphene.activations`.
    target : int or str
        The class, by number or name.
    tries : int, default 100
        An image is used again where there are fewer.
    seed : int, default 0
        Of all draws; the first tries are the same however many there are, as long as the images are.
    sizes : (float, float), default (1, 1)
        Smallest and largest size, as parts of the patch's own. A network knows a texture in one size: a planted mark that flipped
        97% in its own size flipped 25% between 0.9 and 1.1 times it.
    in_step : bool, default True
        Whether a patch is only moved by whole strides of the network from where it was cut. A network that strides does not
        see the same when the image is moved by less (Azulay and Weiss 2019; Zhang 2019): the same mark at any place flipped 12%.
        An array has no place that it was cut from, and goes anywhere.
    batch : int, default 32
        Images at a time.
    count, executor
        As of `phosphene.activations`.
    progress : callable or bool, optional
        See `phosphene.render`. One that stops leaves fewer tries.

    Returns
    -------
    PatchTest

    Raises
    ------
    UnknownClass
        When there is no such class.
    InvalidParameter
        For patches that are none, of different sizes, or as large as the image; and for parameters outside what is allowed.
    InvalidImages
        When the model names the target for every image.
    """
    tries = integer("tries", tries, minimum=1)
    number = class_index(network, target)
    spec = network.input
    given = [_checked(name, value, network) for name, value in (("cues", cues), ("controls", controls))]
    source = source_of(images, spec.size, spec.channels, count=count)
    pool = others(network, source, number, tries, seed=seed, batch=batch, executor=executor)
    begin = time.perf_counter()
    with reporter(progress, "paste", tries) as tell:
        return pasted(
            network, given[0], given[1], pool, number, tries=tries, seed=seed, sizes=sizes, in_step=in_step, batch=batch,
            tell=lambda done: tell(Progress(done, tries, "images", time.perf_counter() - begin)),
        )  # fmt: skip


def others(
    network: Network, source: Source, target: int, tries: int, *, seed: int = 0, batch: int = BATCH,
    executor: Executor | None = None,
) -> NDArray[np.uint8]:  # fmt: skip
    """Images that a model does not name as the target: at most `tries` of them, drawn at random, ``(n, H, W, C)`` as bytes.

    Raises
    ------
    InvalidImages
        When there is none among twice as many as are needed.
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
            "images", allowed="images of other classes", received=said(f"{len(pixels)} that the model all names so"),
            fix="Hand over images of all classes.",
        )  # fmt: skip
    return found


def pasted(
    network: Network, cues: Cutouts, controls: Cutouts, pool: NDArray[np.uint8], target: int, *, tries: int = 100,
    seed: int = 0, sizes: tuple[float, float] = (1.0, 1.0), in_step: bool = True, batch: int = BATCH,
    tell: Callable[[int], bool | None] | None = None,
) -> PatchTest:  # fmt: skip
    """The test on images that are known to be of other classes ``(n, H, W, C)``; see `patch_test`."""
    low, high = sizes
    if not 0 < low <= high:
        raise InvalidParameter(
            "sizes", allowed="two positive numbers, the smaller first", received=sizes, fix="(1, 1) is the patch's own size."
        )  # fmt: skip
    stride = total_stride(network, (pool.shape[1], pool.shape[2])) if in_step else (1, 1)
    flips, asked = np.zeros(2, np.int64), 0
    for start in range(0, tries, batch):
        numbers = range(start, min(start + batch, tries))
        # Both kinds by the same draws, in batches of their own: one of them less would be another size of batch.
        for kind, patches in enumerate((cues, controls)):
            made = np.stack([_paste(pool, patches, number, seed, sizes, stride) for number in numbers])
            flips[kind] += int((_named(network, made, batch) == target).sum())
        asked = numbers[-1] + 1
        if tell is not None and tell(asked) is False:
            break
    (least, other_least), (most, other_most) = wilson(flips, asked)
    return PatchTest(
        target, asked, int(flips[0]), int(flips[1]), (float(least), float(most)), (float(other_least), float(other_most))
    )  # fmt: skip


def _paste(
    pool: NDArray[np.uint8], patches: Cutouts, number: int, seed: int, sizes: tuple[float, float], stride: Size
) -> NDArray[np.uint8]:
    """One image with one patch in it."""
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
            # Made smaller or larger, it keeps its middle.
            own = int(patches.corners[chosen, axis]) + (patch.shape[axis] - shape[axis]) // 2
            # A patch almost as large as the image may have no place in step; then it has its own, as near as it fits.
            in_step = places[(places - own) % stride[axis] == 0]
            places = in_step if len(in_step) else places[[int(np.clip(own, 0, places[-1]))]]
        corner.append(int(places[int(place[axis] * len(places))]))
    top, left = corner
    picture[top : top + shape[0], left : left + shape[1]] = resized(patch, (shape[0], shape[1]))
    return picture


def _named(network: Network, pixels: NDArray[np.uint8], batch: int) -> NDArray[np.int64]:
    """The class that a model names for each image."""
    output = read_layers(network, pixels.astype(np.float32) / np.float32(255), (OUTPUT,), batch)[OUTPUT]
    # Logits at positions are averaged, as where an atlas is collected.
    found: NDArray[np.int64] = output.reshape(len(output), -1, output.shape[-1]).mean(axis=1).argmax(axis=1)
    return found


def _checked(name: str, given: Cutouts | ArrayLike, network: Network) -> Cutouts:
    cut = given if isinstance(given, Cutouts) else Cutouts(_bytes(name, given))
    (height, width), channels, shape = network.input.size, network.input.channels, cut.pictures.shape
    if len(shape) != 4 or 0 in shape or shape[-1] != channels:
        raise InvalidParameter(
            name, allowed=f"at least one patch, (K, h, w, {channels})", received=said(f"shape {shape}"),
            fix="Layout is channel-last.",
        )  # fmt: skip
    if shape[1] > height or shape[2] > width or (shape[1] == height and shape[2] == width):
        raise InvalidParameter(
            name, allowed=f"patches smaller than the image of {height} x {width} pixels",
            received=said(f"{shape[1]} x {shape[2]}"), fix="A whole image is no patch: take a layer with positions.",
        )  # fmt: skip
    if cut.corners is not None and cut.corners.shape != (shape[0], 2):
        raise InvalidParameter(
            name, allowed=f"corners ({shape[0]}, 2), one a patch", received=said(f"shape {cut.corners.shape}"), fix=""
        )
    return cut


def _bytes(name: str, given: ArrayLike | Sequence[object]) -> NDArray[np.uint8]:
    array = np.asarray(given)
    if array.dtype == np.uint8:
        return array
    if not np.issubdtype(array.dtype, np.floating) or not (array.size and array.min() >= 0 and array.max() <= 1):
        raise InvalidParameter(
            name, allowed="bytes, or floats in [0, 1]", received=said(f"dtype {array.dtype}, shape {array.shape}"),
            fix="Divide by the largest value.",
        )  # fmt: skip
    found: NDArray[np.uint8] = np.round(array * 255).astype(np.uint8)
    return found
