"""The patch test for the cells of a class map: which of them cause the class."""

from __future__ import annotations

import time
from collections.abc import Callable
from concurrent.futures import Executor
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from phosphene.atlas.atlas import Atlas, an_atlas
from phosphene.atlas.class_maps import ClassMap
from phosphene.atlas.partition import directions
from phosphene.atlas.patch_effects import MOST_TRIES, Cutouts, PatchTest, others, pasted
from phosphene.atlas.patches import representatives
from phosphene.atlas.steps import check_origin
from phosphene.atlas.windows import MASS, cut_patches, window
from phosphene.backend import Network
from phosphene.data.declaration import ImagesLike
from phosphene.data.sources import source_of
from phosphene.draws import generator
from phosphene.errors import InvalidParameter, said
from phosphene.kit.arguments import an_executor, capped, optional_integer
from phosphene.kit.checks import a_network, choice, instance, integer, seed_of, share
from phosphene.kit.progress import Progress, check_progress, reporter

__all__ = ["CellTest", "patch_tests"]

FAR = 0.25
"""Share of the points of the class, least similar to the cell, from which controls are drawn."""


@dataclass(frozen=True)
class CellTest:
    """The patch test of one group of a class map.

    Attributes
    ----------
    size : int
        The level: cells per side.
    group : int
        Index of the group in the level.
    attribution : float
        Mean attribution of the group to the class.
    points, controls : (k,) int64
        Indices of the points of the atlas whose patches were pasted.
    pictures, control_pictures : (k, h, w, C) uint8
        These patches.
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
    """Run the patch test for the groups of a class map with the largest attribution to the class.

    Cues are the patches nearest to the mean of a group. Controls are patches of images for which the model predicts the class,
    at the quarter of their points that is least similar to the group.

    Parameters
    ----------
    atlas : Atlas
        The atlas of the map.
    network : Network
        The network that the atlas was collected with.
    images : images
        The images that the atlas was collected from: anything that `phosphene.images` takes.
    class_map : ClassMap
        A map of one class, or of two, of which the first is tested.
    cells : int, default 4
        Number of groups of kept cells to test, largest mean attribution first.
    size : int, optional
        The level: cells per side (default: the finest).
    patches, controls : int, default 4, 32
        Maximum number of cues (the same as those of `gather_patches`) and of controls per group.
    mass : float, default 0.9
        Share of the gradient inside the window that is cut out; see `phosphene.atlas.windows.window`.
    tries, seed : int, default 100, 0
        Tries per group, and random seed; see `phosphene.atlas.patch_test`.
    count, executor
        See `phosphene.atlas.collect`.
    progress : callable or bool, optional
        See `phosphene.render`. If it stops the run, the groups tested so far are returned.
    **options
        Further arguments of `phosphene.atlas.patch_test`: `sizes`, `in_step`, `batch`.

    Returns
    -------
    tuple of CellTest
        Groups with the largest attribution first.

    Raises
    ------
    OtherStore
        When the atlas was collected from another model or other images.
    InvalidParameter
        When the model predicts the class for no image of the atlas, for a layer whose positions depend on the whole image, and
        for invalid parameters.
    """
    for name, value in (("cells", cells), ("patches", patches), ("controls", controls)):
        integer(name, value, minimum=1)
    tries, seed = capped("tries", tries, minimum=1, most=MOST_TRIES), seed_of(seed)
    size = optional_integer("size", size, minimum=1)
    share("mass", mass, zero=False, example=0.9)
    for name in options:
        choice("options", name, ("sizes", "in_step", "batch"))
    an_atlas(atlas)
    a_network(network)
    instance("class_map", class_map, ClassMap, "a class map", 'class_map(atlas, "stage3", "coins")')
    count = optional_integer("count", count, minimum=1)
    an_executor(executor)
    check_progress(progress)
    spec, layer = network.input, class_map.layer
    source = source_of(images, spec, count=count)
    check_origin(atlas, network, source)
    moving = window(network, layer, mass=mass)
    if moving.size == spec.size:
        raise InvalidParameter(
            "class_map",
            allowed="a map of a layer whose positions depend on a part of the image",
            received=said(f"one of {layer}, whose positions depend on all of it"),
            fix="Choose an earlier layer, or a smaller mass.",
        )
    level = class_map.grid.level(class_map.grid.levels[-1].size if size is None else size)
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
            "class_map",
            allowed="a map of a class that the model predicts for at least one image of the atlas",
            received=said(f"class {class_map.target}, which it predicts for none"),
            fix="Collect images of that class.",
        )
    chosen: list[tuple[NDArray[np.int64], NDArray[np.int64]]] = []
    units = directions(rows[named])
    for group, own in zip(strongest, near, strict=True):
        alike = units @ directions(level.group_means[[group]])[0]
        far = named[np.argsort(alike, kind="stable")][: max(1, int(FAR * len(named)))]
        random = generator(seed, "patch test controls", str(level.size), str(group))
        drawn = random.choice(far, min(controls, len(far)), replace=False)
        chosen.append((class_map.points[own[own >= 0]], np.sort(drawn)))
    # All patches are cut in one pass over the images.
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
                CellTest(level.size, int(group), float(strength[group]), *pair, cues.pictures, other.pictures, test)
            )
            if tell(Progress(tries * len(found), total, "images", time.perf_counter() - begin)) is False:
                break
    return tuple(found)
