"""What people hand over as images: a way to make each kind of thing from the same pixels.

``python tests/handed_over.py --write`` writes the two tables of docs/images.md anew.
"""

from __future__ import annotations

import argparse
import collections
import importlib.util
import io
import json
import os
import tarfile
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

import phosphene as ph
from phosphene.errors import CorruptFile, InvalidImages, InvalidParameter, PhospheneError

ROOT = Path(__file__).parents[1]
PAGE = ROOT / "docs" / "images.md"
SIZE = (12, 16)

Pixels = NDArray[np.uint8]
Make = Callable[[Pixels, Path], Any]


@dataclass(frozen=True)
class Kind:
    """A kind of thing: what it is called, how it is made from pixels and files, and the packages that it needs."""

    name: str
    make: Make
    needs: tuple[str, ...] = ()
    once: bool = False
    """Whether it can be gone through only once."""

    @property
    def missing(self) -> bool:
        return any(importlib.util.find_spec(package) is None for package in self.needs)


@dataclass(frozen=True)
class Refused(Kind):
    """A kind of thing that is refused, with what the error says."""

    error: type[PhospheneError] = InvalidParameter
    says: str = ""
    instead: str = ""


def pixels(count: int) -> Pixels:
    """Pictures ``(count, 12, 16, 3)`` without any symmetry."""
    return np.random.default_rng(5).integers(0, 256, (2, *SIZE, 3), dtype=np.uint8)[:count]


def encoded(image: Pixels) -> bytes:
    """A picture as a PNG."""
    buffer = io.BytesIO()
    Image.fromarray(image).save(buffer, "png")
    return buffer.getvalue()


def write_files(folder: Path, images: Pixels) -> None:
    """The files that the kinds below name, of these pictures."""
    folder.mkdir(parents=True)
    (folder / "pictures").mkdir()
    for number, image in enumerate(images):
        (folder / "pictures" / f"{number}.png").write_bytes(encoded(image))
    (folder / "paths.txt").write_text("\n".join(f"pictures/{number}.png" for number in range(len(images))))
    for number, image in enumerate(images):
        write_shard(folder / f"shard-{number:03d}.tar", image[None], start=number)
    write_shard(folder / "all.tar", images)
    with zipfile.ZipFile(folder / "pictures.zip", "w") as archive:
        for number, image in enumerate(images):
            archive.writestr(f"{number}.png", encoded(image))
    np.save(folder / "images.npy", images)
    np.savez(folder / "images.npz", x_train=images, y_train=np.arange(len(images)))
    if importlib.util.find_spec("fsspec") is not None:
        import fsspec

        system = fsspec.filesystem("memory")
        for number, image in enumerate(images):
            system.pipe(f"/of-{len(images)}/{number}.png", encoded(image))
        system.pipe(f"/of-{len(images)}.tar", (folder / "all.tar").read_bytes())
    if importlib.util.find_spec("av") is not None:
        write_film(folder / "film.mkv", images)


def write_shard(path: Path, images: Pixels, start: int = 0) -> None:
    """A shard of WebDataset: of each sample a picture, a class and a description."""
    with tarfile.open(path, "w") as archive:
        for number, image in enumerate(images, start):
            for ending, content in (("png", encoded(image)), ("cls", b"3"), ("json", json.dumps({"a": 1}).encode())):
                member = tarfile.TarInfo(f"train/{number:04d}.{ending}")
                member.size = len(content)
                archive.addfile(member, io.BytesIO(content))


def write_film(path: Path, images: Pixels, codec: str = "ffv1", form: str = "bgr0", **options: str) -> None:
    """A film whose frames are these pictures; without loss by default."""
    import av

    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate=10, options=options)
        stream.height, stream.width = images.shape[1:3]
        stream.pix_fmt = form
        for image in images:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(np.ascontiguousarray(image), format="rgb24")))
        container.mux(stream.encode())


def floats(images: Pixels) -> NDArray[np.float32]:
    return images.astype(np.float32) / np.float32(255)


def tensor(images: Pixels) -> Any:
    """A tensor of torch, channel-first."""
    import torch

    return torch.from_numpy(floats(images).transpose(0, 3, 1, 2).copy())


def in_jax(images: NDArray[Any]) -> Any:
    import jax.numpy as jnp

    return jnp.asarray(images)


def pictures(images: Pixels) -> list[Image.Image]:
    return [Image.fromarray(image) for image in images]


def paths(images: Pixels, folder: Path) -> list[Path]:
    return [folder / "pictures" / f"{number}.png" for number in range(len(images))]


def data_set(item: Callable[[int], Any], length: int) -> Any:
    """A Dataset of torch."""
    import torch

    class Items(torch.utils.data.Dataset[Any]):
        def __len__(self) -> int:
            return length

        def __getitem__(self, index: int) -> Any:
            return item(index)

    return Items()


def stream(items: Callable[[], Iterator[Any]], length: int | None = None) -> Any:
    """An IterableDataset of torch; with a length if one is given."""
    import torch

    class Items(torch.utils.data.IterableDataset[Any]):
        def __iter__(self) -> Iterator[Any]:
            return items()

    class Sized(Items):
        def __len__(self) -> int:
            return length or 0

    return Items() if length is None else Sized()


def loader(data: Any, **options: Any) -> Any:
    import torch

    return torch.utils.data.DataLoader(data, **options)


def labelled(images: Pixels) -> Any:
    import torch

    return torch.utils.data.TensorDataset(tensor(images), torch.arange(len(images)))


def hugging_face(images: Pixels) -> Any:
    import datasets

    features = datasets.Features({"image": datasets.Image(), "label": datasets.Value("int64")})
    return datasets.Dataset.from_dict({"image": pictures(images), "label": list(range(len(images)))}, features)


def table(images: Pixels, folder: Path) -> Any:
    import pandas as pd

    return pd.DataFrame({"file": [str(path) for path in paths(images, folder)], "label": 0})


def normalised(images: Pixels) -> Any:
    return ph.images((floats(images) - np.float32(0.5)) / np.float32(0.25), mean=0.5, std=0.25)


def structured(images: Pixels) -> Any:
    rows = np.zeros(len(images), [("image", "u1", images.shape[1:]), ("label", "i8")])
    rows["image"] = images
    return rows


def mapped(images: Pixels, folder: Path) -> Any:
    return np.load(folder / "images.npy", mmap_mode="r")


def on_disk(images: Pixels, folder: Path) -> Any:
    import zarr

    return zarr.array(images)


def annotated(images: Pixels) -> Any:
    import pretend_operators

    pretend_operators.declare()
    from torchvision import tv_tensors

    return [tv_tensors.Image(image) for image in tensor(images)]


def renders(images: Pixels) -> Any:
    from dataclasses import replace

    from result_instances import small_renders

    return replace(small_renders(), images=floats(images))


Pair = collections.namedtuple("Pair", "image label")

TAKEN: tuple[Kind, ...] = (
    Kind("array of bytes", lambda p, f: p),
    Kind("array of float32", lambda p, f: floats(p)),
    Kind("array of float64", lambda p, f: floats(p).astype(np.float64)),
    Kind("array in Fortran's order", lambda p, f: np.asfortranarray(p)),
    Kind("array, channel-first as stated", lambda p, f: ph.images(p.transpose(0, 3, 1, 2), layout="channel-first")),
    Kind("array, normalised as stated", lambda p, f: normalised(p)),
    Kind("array that is mapped from a file", mapped),
    Kind("masked array without a mask", lambda p, f: np.ma.MaskedArray(p)),
    Kind("structured array", lambda p, f: structured(p)),
    Kind("`(images, labels)`", lambda p, f: (p, np.arange(len(p)))),
    Kind('`{"image": array, "label": array}`', lambda p, f: {"image": p, "label": np.arange(len(p))}),
    Kind("list of arrays", lambda p, f: list(p)),
    Kind("nested lists of floats", lambda p, f: floats(p).tolist()),
    Kind("list of batches", lambda p, f: [(p[:1], [0]), (p[1:], [0])] if len(p) > 1 else [(p, [0])]),
    Kind("memoryview of an array", lambda p, f: memoryview(p)),
    Kind("array of zarr", on_disk, ("zarr",)),
    Kind("generator, with `count`", lambda p, f: ph.images((image for image in p), count=len(p)), once=True),
    Kind("generator of batches, with `count`", lambda p, f: ph.images(iter([p]), count=len(p)), once=True),
    Kind("deque", lambda p, f: collections.deque(p)),
    Kind("pictures of Pillow", lambda p, f: pictures(p)),
    Kind("pictures of Pillow with alpha", lambda p, f: [picture.convert("RGBA") for picture in pictures(p)]),
    Kind("encoded bytes", lambda p, f: [encoded(image) for image in p]),
    Kind("open files", lambda p, f: [io.BytesIO(encoded(image)) for image in p]),
    Kind("folder", lambda p, f: f / "pictures"),
    Kind("glob pattern", lambda p, f: str(f / "pictures" / "*.png")),
    Kind("text file of paths", lambda p, f: f / "paths.txt"),
    Kind("list of paths", paths),
    Kind("entries of `os.scandir`", lambda p, f: sorted(os.scandir(f / "pictures"), key=lambda entry: entry.name)),
    Kind("array of paths", lambda p, f: np.array([str(path) for path in paths(p, f)])),
    Kind("paths, arrays and pictures in one list", lambda p, f: [*paths(p, f)[:1], *pictures(p)[1:]]),
    Kind("table of pandas", table, ("pandas",)),
    Kind("column of pandas", lambda p, f: table(p, f)["file"], ("pandas",)),
    Kind("`.npy` file", lambda p, f: f / "images.npy"),
    Kind("`.npz` file", lambda p, f: f / "images.npz"),
    Kind("zip archive", lambda p, f: f / "pictures.zip", ("fsspec",)),
    Kind('`"zip://*.png::photos.zip"`', lambda p, f: f"zip://*.png::{f / 'pictures.zip'}", ("fsspec",)),
    Kind('`"file://photos"`', lambda p, f: f"file://{f / 'pictures'}"),
    Kind('`"memory://photos"`', lambda p, f: f"memory://of-{len(p)}", ("fsspec",)),
    Kind('`"memory://photos/*.png"`', lambda p, f: f"memory://of-{len(p)}/*.png", ("fsspec",)),
    Kind("shard at an address", lambda p, f: f"memory://of-{len(p)}.tar", ("fsspec",)),
    Kind("tar shard", lambda p, f: f / "all.tar"),
    Kind('`"photos-{000..009}.tar"`', lambda p, f: str(f / f"shard-{{000..{len(p) - 1:03d}}}.tar")),
    Kind("list of shards", lambda p, f: [f / f"shard-{number:03d}.tar" for number in range(len(p))]),
    Kind("film", lambda p, f: f / "film.mkv", ("av",)),
    Kind("tensor of torch", lambda p, f: tensor(p), ("torch",)),
    Kind("tensor of torch, of bytes", lambda p, f: tensor(p).mul(255).round().byte(), ("torch",)),
    Kind("tensor of torch, channel-last", lambda p, f: tensor(p).permute(0, 2, 3, 1), ("torch",)),
    Kind("tensor of torch with a gradient", lambda p, f: tensor(p).requires_grad_(), ("torch",)),
    Kind("sparse tensor of torch", lambda p, f: tensor(p).to_sparse(), ("torch",)),
    Kind("list of tensors", lambda p, f: list(tensor(p)), ("torch",)),
    Kind("images of torchvision", lambda p, f: annotated(p), ("torch", "torchvision")),
    Kind("TensorDataset", lambda p, f: labelled(p), ("torch",)),
    Kind("Dataset of `(picture, label)`", lambda p, f: data_set(lambda i: (pictures(p)[i], 0), len(p)), ("torch",)),
    Kind(
        "Dataset of `(index, image, label)`",
        lambda p, f: data_set(lambda i: (i, tensor(p)[i], 0), len(p)),
        ("torch",),
    ),
    Kind(
        "Dataset of `(image, mask)`",
        lambda p, f: data_set(lambda i: (tensor(p)[i], tensor(p)[i, :1]), len(p)),
        ("torch",),
    ),
    Kind("Dataset of mappings", lambda p, f: data_set(lambda i: {"pixel_values": tensor(p)[i]}, len(p)), ("torch",)),
    Kind("Dataset of named tuples", lambda p, f: data_set(lambda i: Pair(tensor(p)[i], i), len(p)), ("torch",)),
    Kind("Dataset of paths", lambda p, f: data_set(lambda i: (str(paths(p, f)[i]), 0), len(p)), ("torch",)),
    Kind(
        "IterableDataset, with `count`",
        lambda p, f: ph.images(stream(lambda: iter(tensor(p))), count=len(p)),
        ("torch",),
    ),
    Kind("IterableDataset with a length", lambda p, f: stream(lambda: iter(tensor(p)), len(p)), ("torch",)),
    Kind("DataLoader", lambda p, f: loader(labelled(p), batch_size=2), ("torch",)),
    Kind("DataLoader that keeps the rest", lambda p, f: loader(labelled(p), batch_size=3), ("torch",)),
    Kind("DataLoader without batches", lambda p, f: loader(labelled(p), batch_size=None), ("torch",)),
    Kind(
        "DataLoader with a sampler of batches",
        lambda p, f: loader(labelled(p), batch_sampler=[[index] for index in range(len(p))]),
        ("torch",),
    ),
    Kind(
        "DataLoader with `collate_fn=list`",
        lambda p, f: loader(data_set(lambda i: (pictures(p)[i], 0), len(p)), batch_size=2, collate_fn=list),
        ("torch",),
    ),
    Kind(
        "DataLoader of mappings",
        lambda p, f: loader(data_set(lambda i: {"image": tensor(p)[i], "label": 0}, len(p)), batch_size=2),
        ("torch",),
    ),
    Kind(
        "DataLoader of named tuples",
        lambda p, f: loader(data_set(lambda i: Pair(tensor(p)[i], 0), len(p)), batch_size=2),
        ("torch",),
    ),
    Kind(
        "DataLoader of an IterableDataset",
        lambda p, f: loader(stream(lambda: iter(tensor(p)), len(p)), batch_size=2),
        ("torch",),
    ),
    Kind("array of JAX", lambda p, f: in_jax(floats(p)), ("jax",)),
    Kind("array of JAX, of bytes", lambda p, f: in_jax(p), ("jax",)),
    Kind("array of JAX, channel-first", lambda p, f: in_jax(floats(p).transpose(0, 3, 1, 2)), ("jax",)),
    Kind("list of arrays of JAX", lambda p, f: list(in_jax(floats(p))), ("jax",)),
    Kind("data set of Hugging Face", lambda p, f: hugging_face(p), ("datasets",)),
    Kind("... undecoded", lambda p, f: _cast(hugging_face(p)), ("datasets",)),
    Kind('... `.with_format("torch")`', lambda p, f: hugging_face(p).with_format("torch"), ("datasets", "torch")),
    Kind('... `.with_format("numpy")`', lambda p, f: hugging_face(p).with_format("numpy"), ("datasets",)),
    Kind(
        "... streamed, with `count`",
        lambda p, f: ph.images(hugging_face(p).to_iterable_dataset(), count=len(p)),
        ("datasets",),
    ),
    Kind("result of `phosphene.render`", lambda p, f: renders(p)),
)
"""What is taken; the same pixels arrive."""


def _cast(data: Any) -> Any:
    import datasets

    return data.cast_column("image", datasets.Image(decode=False))


def _raises(error: Exception) -> Any:
    raise error


REFUSED: tuple[Refused, ...] = (
    Refused(
        *("array, channel-first", lambda p, f: p.transpose(0, 3, 1, 2)),
        error=InvalidImages,
        says=r'layout="channel-first"',
        instead='`ph.images(array, layout="channel-first")`',
    ),
    Refused(
        *("array of 0 to 255 as floats", lambda p, f: p.astype(np.float32)),
        error=InvalidImages,
        says="Divide by 255",
        instead="divide by 255",
    ),
    Refused(
        *("array of 16 bits", lambda p, f: p.astype(np.uint16)),
        error=InvalidImages,
        says="65535 for 16",
        instead="divide by the largest value",
    ),
    Refused(
        *("normalised array", lambda p, f: floats(p) * 4 - 2),
        error=InvalidImages,
        says="mean=",
        instead="`ph.images(array, mean=..., std=...)`",
    ),
    Refused(
        *("masked array", lambda p, f: np.ma.MaskedArray(p, p > 9)),
        error=InvalidImages,
        says="masked",
        instead="`array.filled(...)`",
    ),
    Refused(
        *("array with NaN", lambda p, f: floats(p) * np.float32(np.nan)),
        error=InvalidImages,
        says="NaN",
        instead="find where they come from",
    ),
    Refused(
        *("arrays of several sizes", lambda p, f: [p[0], p[0, :-1]]),
        error=InvalidImages,
        says='fit="crop"',
        instead='`ph.images(arrays, fit="crop")`',
    ),
    Refused(
        *("grey array for a network of three channels", lambda p, f: p[..., :1]),
        error=InvalidImages,
        says="repeat",
        instead="`numpy.repeat(array, 3, axis=-1)`",
    ),
    Refused(*("set of paths", lambda p, f: set(paths(p, f))), says="sorted", instead="a list"),
    Refused(*("iterable without a length", lambda p, f: (image for image in p)), says="count=", instead="`count=`"),
    Refused(
        *("iterable that ends early", lambda p, f: ph.images(iter(p), count=9)), says="Give count=", instead="`count=`"
    ),
    Refused(
        *("list with a file that is missing", lambda p, f: [*paths(p, f), f / "none.png"]),
        says="does not exist",
        instead="check the path",
    ),
    Refused(*("words", lambda p, f: ["a cat", "a dog"]), says="does not exist", instead="images"),
    Refused(*("numbers", lambda p, f: [1, 2, 3]), says="Give one image per item", instead="images"),
    Refused(*("nothing", lambda p, f: []), says="at least one", instead="images"),
    Refused(
        *("data whose items raise", lambda p, f: data_set(lambda i: _raises(KeyError("no label")), 4), ("torch",)),
        error=CorruptFile,
        says="raised KeyError",
        instead="the error names the item",
    ),
    Refused(
        *("data set that is longer than its data", lambda p, f: data_set(lambda i: p[i], 9), ("torch",)),
        says="without item",
        instead="correct its length, or `count=`",
    ),
    Refused(
        *("data set of 10**12 images", lambda p, f: data_set(lambda i: p[0], 10**12), ("torch",)),
        says="count=",
        instead="`count=`",
    ),
    Refused(
        *("DataLoader that shuffles", lambda p, f: loader(labelled(p), shuffle=True), ("torch",)),
        says="shuffle=False",
        instead="`shuffle=False`",
    ),
    Refused(
        *("tensor on the device `meta`", lambda p, f: tensor(p).to("meta"), ("torch",)),
        error=InvalidImages,
        says="meta",
        instead="a tensor with values",
    ),
    Refused(
        *("several data sets of Hugging Face", lambda p, f: _splits(p), ("datasets",)),
        says=r"data\['train'\]",
        instead='`data["train"]`',
    ),
    Refused(
        *("mapping with two images", lambda p, f: {"left": list(p), "right": list(p)}),
        says="column='left'",
        instead='`ph.images(data, column="left")`',
    ),
    Refused(*("compressed shard", lambda p, f: [f / "all.tar.gz"]), says="gzip", instead="`gzip -d`"),
)
"""What is refused; the error says what to do instead."""


def _splits(images: Pixels) -> Any:
    import datasets

    return datasets.DatasetDict(train=hugging_face(images), test=hugging_face(images))


def tables() -> dict[str, str]:
    """The tables of docs/images.md, by the word that marks them."""
    taken = "\n".join(f"| {kind.name} |" for kind in TAKEN)
    refused = "\n".join(f"| {kind.name} | {kind.instead} |" for kind in REFUSED)
    return {
        "taken": f"| what is taken |\n|---|\n{taken}",
        "refused": f"| what is refused | what to give instead |\n|---|---|\n{refused}",
    }


def with_tables(page: str) -> str:
    """A page with its tables as they should be."""
    for word, made in tables().items():
        start = f"<!-- {word}: made by tests/handed_over.py -->"
        before, _, rest = page.partition(start)
        page = f"{before}{start}\n{made}\n<!-- end -->{rest.partition('<!-- end -->')[2]}"
    return page


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--write", action="store_true", required=True)
    parser.parse_args()
    PAGE.write_text(with_tables(PAGE.read_text(encoding="utf-8")), encoding="utf-8")
