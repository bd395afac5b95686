"""The patch test of the cells of a class atlas: which of what it shows decides the class."""

from __future__ import annotations

import time
from collections.abc import Callable
from concurrent.futures import Executor
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from phosphene.activations import ImagesLike
from phosphene.ascent import Progress
from phosphene.atlas.atlas import Atlas
from phosphene.atlas.class_map import ClassMap
from phosphene.atlas.cutting import cut_patches
from phosphene.atlas.origin import check_origin
from phosphene.atlas.patch_test import Cutouts, PatchTest, others, pasted
from phosphene.atlas.patches import representatives
from phosphene.atlas.splitting import directions
from phosphene.atlas.windows import MASS, window
from phosphene.backend import Network
from phosphene.data.sources import source_of
from phosphene.draws import generator, integer
from phosphene.errors import InvalidParameter, said
from phosphene.progress import reporter

__all__ = ["CellTest", "patch_tests"]

FAR = 0.25
"""Share of the class's points, those least like the cell, from which controls are drawn."""


@dataclass(frozen=True)
class CellTest:
    """The patch test of one group of a class atlas.

    Attributes
    ----------
    size : int
        Cells along a side of its level.
    group : int
        Which group of that level.
    attribution : float
        Its mean attribution to the class.
    points, controls : (k,) int64
        Points of the atlas whose patches were pasted.
    pictures, control_pictures : (k, h, w, C) uint8
        These patches, as they were cut.
    test : PatchTest
    """

    size: int
    group: int
    attribution: float
    points: NDArray[np.int64]
    controls: NDArray[np.int64]
    pictures: NDArray[np.uint8]
    control_pictures: NDArray[np.uint8]
    test: PatchTest


def patch_tests(
    atlas: Atlas,
    network: Network,
    images: ImagesLike,
    class_map: ClassMap,
    *,
    cells: int = 4,
    size: int | None = None,
    patches: int = 4,
    controls: int = 32,
    mass: float = MASS,
    tries: int = 100,
    seed: int = 0,
    count: int | None = None,
    executor: Executor | None = None,
    progress: Callable[[Progress], bool | None] | bool | None = None,
    **options: Any,
) -> tuple[CellTest, ...]:
    """The patch test of the cells of a class atlas that add most to the class.

    Cues are the patches nearest to a group's mean. Controls are patches from images that the model names as the class, at the
    quarter of their points that is least like the group.

    Parameters
    ----------
    atlas : Atlas
        Collected from these images with this network.
    network, images
        These.
    class_map : ClassMap
        Of that atlas; of two classes the first is tested.
    cells : int, default 4
        How many groups of full cells, the largest mean attribution first.
    size : int, optional
        Of the level; the finest when absent.
    patches, controls : int, default 4, 32
        Patches a group (the same that `gather_patches` shows of it), and as controls, at most.
    mass : float, default 0.9
        Of the window that is cut out; see `phosphene.atlas.windows.window`.
    tries, seed
        As of `phosphene.atlas.patch_test`; tries a group.
    count, executor
        As of `phosphene.atlas.collect`.
    progress : callable or bool, optional
        See `phosphene.render`. One that stops leaves the groups that were tested.
    **options
        Further arguments of `phosphene.atlas.patch_test`: sizes, in_step, batch.

    Returns
    -------
    tuple of CellTest
        The strongest group first.

    Raises
    ------
    OtherStore
        When the atlas is of another model or of other images.
    InvalidParameter
        When no image of the atlas is named as the class, for a layer without positions, and for parameters outside what is
        allowed.
    """
    for name, value in (("cells", cells), ("patches", patches), ("controls", controls), ("tries", tries)):
        integer(name, value, minimum=1)
    spec, layer = network.input, class_map.layer
    source = source_of(images, spec.size, spec.channels, count=count)
    check_origin(atlas, network, source)
    moving = window(network, layer, mass=mass)
    if moving.size == spec.size:
        raise InvalidParameter(
            "class_map", allowed="a map of a layer whose positions see a part of the image",
            received=said(f"one of {layer}, which sees all of it"), fix="Take an earlier layer, or a smaller mass.",
        )  # fmt: skip
    level = class_map.grid.level(size or class_map.grid.levels[-1].size)
    rows, image = atlas.activations(layer), atlas.images()
    strength = class_map.group_attributions(level.size)[:, 0]
    full = np.flatnonzero(level.kept[level.group_cells])
    strongest = full[np.argsort(-strength[full], kind="stable")][:cells]
    near = representatives(level, rows[class_map.points], image[class_map.points], patches)[strongest]
    named = np.flatnonzero(
        np.concatenate([part.argmax(axis=1) for part in atlas.store.shards("logits")]) == class_map.target
    )
    if not len(named):
        raise InvalidParameter(
            "class_map", allowed="one of a class that the model names for some image of the atlas",
            received=said(f"class {class_map.target}, which it names for none"), fix="Collect images of that class.",
        )  # fmt: skip
    chosen: list[tuple[NDArray[np.int64], NDArray[np.int64]]] = []
    units = directions(rows[named])
    for group, own in zip(strongest, near, strict=True):
        alike = units @ directions(level.group_means[[group]])[0]
        far = named[np.argsort(alike, kind="stable")][: max(1, int(FAR * len(named)))]
        random = generator(seed, "patch test controls", str(level.size), str(group))
        drawn = random.choice(far, min(controls, len(far)), replace=False)
        chosen.append((class_map.points[own[own >= 0]], np.sort(drawn)))
    # All that is pasted is cut in one pass over the images.
    every = np.unique(np.concatenate([part for pair in chosen for part in pair]))
    boxes = moving.boxes(atlas.positions(layer)[every])
    cut = cut_patches(network, source, image[every], boxes, executor=executor)
    batch = {"batch": options["batch"]} if "batch" in options else {}
    pool = others(network, source, class_map.target, tries, seed=seed, executor=executor, **batch)
    found: list[CellTest] = []
    total, begin = tries * len(chosen), time.perf_counter()
    with reporter(progress, "paste", total) as tell:
        for group, pair in zip(strongest, chosen, strict=True):
            places = [np.searchsorted(every, part) for part in pair]
            cues, other = (Cutouts(cut[place], boxes[place][:, [0, 2]]) for place in places)
            test = pasted(network, cues, other, pool, class_map.target, tries=tries, seed=seed, **options)
            found.append(
                CellTest(
                    level.size, int(group), float(strength[group]), *pair, cues.pictures, other.pictures, test
                )
            )  # fmt: skip
            if tell(Progress(tries * len(found), total, "images", time.perf_counter() - begin)) is False:
                break
    return tuple(found)
