"""A run resumes with the images that it was begun with and with no others, however they are handed over."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

import phosphene as ph
from phosphene import errors
from phosphene.atlas.points import collect
from phosphene.backend import Network
from phosphene.data.digests import digest_of
from phosphene.extraction import collection

pytest.importorskip("zarr")
Pixels = NDArray[np.uint8]
COUNT, LAYER = 22, "stage2"


def pixels(seed: int) -> Pixels:
    return np.random.default_rng(seed).integers(0, 256, (COUNT, 64, 64, 3), np.uint8)


FIRST = pixels(3)
LAST_DIFFERS = FIRST.copy()
LAST_DIFFERS[-2, 5, 5, 0] ^= 1
SWAPPED = FIRST[[1, 0, *range(2, COUNT)]]
OTHERS = {"other images": pixels(4), "one value of one image": LAST_DIFFERS, "another order": SWAPPED}


class Folder:
    """A data set as people write it: pairs of image and label, made on access."""

    def __init__(self, images: Pixels) -> None:
        self.images = images

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, index: int) -> tuple[NDArray[np.float32], int]:
        return np.asarray(self.images[index], np.float32) / np.float32(255), index % 3


def loader(images: Pixels) -> Any:
    torch = pytest.importorskip("torch")
    planes = torch.from_numpy(np.moveaxis(images, -1, 1) / np.float32(255))
    return torch.utils.data.DataLoader(torch.utils.data.TensorDataset(planes, torch.arange(COUNT)), batch_size=5)


def one_by_one(images: Pixels) -> Iterator[Any]:
    yield from ({"image": image, "name": "x"} for image in images)


FORMS: dict[str, Callable[[Pixels], Any]] = {
    "array": lambda images: images,
    "list of arrays": list,
    "list of pictures": lambda images: [Image.fromarray(image) for image in images],
    "data set": Folder,
    "data loader": loader,
    "generator": one_by_one,
    "declared": lambda images: ph.images(Folder(images)),
}


@pytest.fixture(autouse=True)
def _shards_of_four_images(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(collection, "SHARD_BYTES", 4 * 16 * 16 * 64 * 4)


def counted(form: str) -> dict[str, int]:
    return {"count": COUNT} if form == "generator" else {}


@pytest.mark.parametrize("form", FORMS)
def test_a_store_resumes_with_its_own_images_only(specimen: Network, tmp_path: Path, form: str) -> None:
    options: Any = {"batch": 4, "progress": False, **counted(form)}
    make = FORMS[form]
    stopped = {**options, "progress": lambda state: state.done < COUNT // 2}
    ph.activations(specimen, make(FIRST), LAYER, out=tmp_path, **stopped)
    for images in OTHERS.values():
        if not np.array_equal(images[: COUNT // 2], FIRST[: COUNT // 2]):
            with pytest.raises(errors.OtherStore, match="other images"):
                ph.activations(specimen, make(images), LAYER, out=tmp_path, **options)
    store = ph.activations(specimen, make(FIRST), LAYER, out=tmp_path, **options)
    wanted = ph.activations(specimen, FIRST, LAYER, batch=4)[LAYER]
    np.testing.assert_array_equal(store.read(LAYER), wanted)
    for images in OTHERS.values():  # also of a store that is complete
        with pytest.raises(errors.OtherStore, match="other images"):
            ph.activations(specimen, make(images), LAYER, out=tmp_path, **options)
    np.testing.assert_array_equal(store.read(LAYER), wanted)


def test_an_iterator_that_was_begun_is_not_taken_for_a_new_one(specimen: Network, tmp_path: Path) -> None:
    images = one_by_one(FIRST)
    options: Any = {"batch": 4, "count": COUNT}
    ph.activations(specimen, images, LAYER, out=tmp_path, progress=lambda state: state.done < COUNT // 2, **options)
    with pytest.raises(errors.PhospheneError, match=r"iterator|end early"):
        ph.activations(specimen, images, LAYER, out=tmp_path, progress=False, **options)


def test_files_of_equal_size_and_time(specimen: Network, tmp_path: Path) -> None:
    folder = tmp_path / "pictures"
    folder.mkdir()

    def written(images: Pixels) -> None:
        for number, image in enumerate(images[:6]):
            Image.fromarray(image).save(folder / f"{number}.bmp")  # of one size whatever the pixels
            os.utime(folder / f"{number}.bmp", ns=(10**18, 10**18))

    written(FIRST)
    ph.activations(specimen, folder, LAYER, out=tmp_path / "s", progress=False)
    ph.activations(specimen, folder, LAYER, out=tmp_path / "s", progress=False)
    written(SWAPPED)
    with pytest.raises(errors.OtherStore, match="other images"):
        ph.activations(specimen, folder, LAYER, out=tmp_path / "s", progress=False)


def test_a_stated_identity_stands_for_the_pixels(specimen: Network, tmp_path: Path) -> None:
    first = ph.images(list(FIRST), identity="validation, first draw")
    store = ph.activations(specimen, first, LAYER, out=tmp_path, progress=False)
    same = ph.images(list(SWAPPED), identity="validation, first draw")  # the user's word is taken
    again = ph.activations(specimen, same, LAYER, out=tmp_path, progress=False)
    np.testing.assert_array_equal(again.read(LAYER), store.read(LAYER))
    with pytest.raises(errors.OtherStore, match="second draw"):
        ph.activations(specimen, ph.images(list(FIRST), identity="second draw"), LAYER, out=tmp_path, progress=False)


@pytest.mark.parametrize("form", ["list of arrays", "data set", "data loader", "generator"])
def test_the_points_of_an_atlas(specimen: Network, tmp_path: Path, form: str) -> None:
    options: Any = {"positions": 2, "progress": False, "batch": 4, **counted(form)}
    make = FORMS[form]
    collect(specimen, make(FIRST), [LAYER], tmp_path, **options)
    collect(specimen, make(FIRST), [LAYER], tmp_path, **options)
    for images in OTHERS.values():
        with pytest.raises(errors.OtherStore, match="other images"):
            collect(specimen, make(images), [LAYER], tmp_path, **options)


@pytest.mark.parametrize("form", ["list of arrays", "data set"])
def test_a_sheet(specimen: Network, tmp_path: Path, form: str) -> None:
    options: Any = {"channels": [0, 2], "steps": 2, "size": 32, "progress": False}
    make = FORMS[form]
    first = ph.render_all(specimen, LAYER, tmp_path, images=make(FIRST), **options)
    again = ph.render_all(specimen, LAYER, tmp_path, images=make(FIRST), **options)
    np.testing.assert_array_equal(again.images, first.images)
    with pytest.raises(errors.OtherStore, match="images"):
        ph.render_all(specimen, LAYER, tmp_path, images=make(LAST_DIFFERS), **options)


def test_results_say_which_images_they_are_of(specimen: Network) -> None:
    calls: list[Callable[[Any], Any]] = [
        lambda images: ph.units(specimen, images, LAYER, progress=False),
        lambda images: ph.embed(specimen, images, LAYER),
        lambda images: ph.compare([specimen, specimen], images=images, layers=[LAYER, LAYER], progress=False),
    ]
    for call in calls:
        first, again, other = (call(list(images)).settings["pixels"] for images in (FIRST, FIRST, LAST_DIFFERS))
        assert first == again != other


def test_directions_are_shown_on_the_images_they_were_found_in(specimen: Network, tmp_path: Path) -> None:
    store = ph.activations(specimen, Folder(FIRST), LAYER, out=tmp_path, progress=False)
    options: Any = {"k": 2, "network": specimen}
    ph.factorize(store, LAYER, images=Folder(FIRST), **options)
    with pytest.raises(errors.OtherStore, match="other images"):
        ph.factorize(store, LAYER, images=Folder(SWAPPED), **options)


def test_a_digest_depends_on_values_and_shape() -> None:
    image = FIRST[0]
    assert digest_of(image) == digest_of(np.asarray(image, np.float32) / np.float32(255))
    variants = [
        image,
        image.reshape(32, 128, 3),
        image.astype(np.float32),
        LAST_DIFFERS[-2],
        np.ascontiguousarray(image[::-1]),
    ]
    assert len({digest_of(variant) for variant in variants}) == len(variants)
    assert digest_of(image) == digest_of(image[:, ::-1][:, ::-1])
