"""Image sources from what users pass: every call that takes images takes them through `source_of`."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from phosphene.backend import InputSpec
from phosphene.data.addresses import RemoteSource, is_address, local_path, places_at
from phosphene.data.array_files import array_at, is_array_file
from phosphene.data.declaration import Images
from phosphene.data.file_places import LocalPlace, Place
from phosphene.data.fitting import Fit
from phosphene.data.items import (
    Conversion,
    as_array,
    image_column,
    is_array,
    is_file,
    is_nested_list,
    is_picture,
    is_torch,
)
from phosphene.data.iterables import (
    LARGEST,
    IterableSource,
    is_iterable_only,
    is_loader,
    length_of,
    source_of_batches,
    source_of_iterable,
    source_of_loader,
    with_column,
)
from phosphene.data.locations import FileSource, source_at
from phosphene.data.minibatches import batch_column, is_batch, rows_of
from phosphene.data.sequences import ArraySource, FirstOf, Named, SequenceSource, about_item
from phosphene.data.shards import expanded, is_shard, source_of_shards
from phosphene.data.source import Source
from phosphene.errors import InvalidImages, InvalidParameter, said
from phosphene.kit.checks import integer
from phosphene.kit.result import Result
from phosphene.types import Size

__all__ = ["FirstOf", "IterableSource", "conversion_for", "source_of"]


def source_of(
    images: Any,
    spec: InputSpec,
    *,
    size: Size | None = None,
    own_size: bool = False,
    count: int | None = None,
    parameter: str = "images",
) -> Source:
    """Make an image source from what a user passed; see `phosphene.images` for what is taken.

    Parameters
    ----------
    images : object
        Anything that `phosphene.images` takes, or its result.
    spec : InputSpec
        Input of the network: the size and the resizing rule of pictures and files, and the number of channels.
    size : (int, int), optional
        Height and width to which pictures and files are fitted (default: those of `spec`).
    own_size : bool, default False
        Whether pictures and files keep their own size, if neither `size` nor a resizing rule is stated.
    count : int, optional
        Number of images to use, from the first on (default: all). Required for an iterable without a length.
    parameter : str, default "images"
        Name of the argument in messages.

    Returns
    -------
    Source

    Raises
    ------
    InvalidParameter
        For something that holds no images, a path at which nothing exists, an iterable of unknown length, a data loader that
        shuffles, and a count above the number of images.
    InvalidImages
        For an array of another number of axes or channels.
    """
    given = images if isinstance(images, Images) else Images(images)
    count = given.count if count is None else count
    wanted = None if count is None else integer("count", count, minimum=1)
    try:
        hasattr(given.given, "columns")
    except Exception as error:
        raise InvalidParameter(
            parameter,
            allowed="something whose attributes can be read",
            received=given.given,
            fix=f"Reading them raises {type(error).__name__}: {error}.",
        ) from error
    found = _whole(given.given, conversion_for(given, spec, size, own_size), wanted, parameter)
    if not len(found):
        raise InvalidParameter(parameter, allowed="at least one image", received=said("none"), fix="Give some images.")
    if (len(found) if wanted is None else wanted) > LARGEST:
        raise InvalidParameter(
            "count",
            allowed=f"at most {LARGEST:,} images",
            received=len(found) if wanted is None else wanted,
            fix="Give the number of images to use: count=1000, for example.",
        )
    if wanted is not None and wanted > len(found):
        raise InvalidParameter(
            "count",
            allowed=f"at most {len(found)}, the number of images",
            received=wanted,
            fix="Leave count out to use all images.",
        )
    if wanted is not None and wanted < len(found):
        found = replace(found, count=wanted) if isinstance(found, IterableSource) else FirstOf(found, wanted)
    return found if given.identity is None else Named(found, given.identity)


def conversion_for(given: Images, spec: InputSpec, size: Size | None = None, own_size: bool = False) -> Conversion:
    """How the items of a declaration become images for a network.

    Raises
    ------
    InvalidParameter
        For a stated normalisation of another number of channels.
    """
    for name, values in (("mean", given.mean), ("std", given.std)):
        if len(values) not in (0, 1, spec.channels):
            raise InvalidParameter(
                name,
                allowed=f"1 or {spec.channels} numbers",
                received=values,
                fix="Give one number per channel, or one for all channels.",
            )
    return Conversion(
        size=size or spec.size,
        channels=spec.channels,
        fit=given.rule or Fit(spec.fit, spec.fraction),
        arrays=given.rule is not None,
        own_size=own_size and size is None and given.rule is None,
        layout=given.layout,
        mean=given.mean,
        std=given.std,
        column=given.column,
    )


def _whole(images: Any, conversion: Conversion, count: int | None, parameter: str) -> Source:
    """The source of all images; `count` is used as the length of an iterable that has none."""
    if isinstance(images, Source):
        return images
    if isinstance(images, type):
        raise _no_images(images, parameter)
    if isinstance(images, (str, os.PathLike)):
        return _at(os.fsdecode(images), conversion, count, parameter)
    if isinstance(images, Result):
        images = getattr(images, "images", images)  # the pictures of a result
    if is_torch(images) and images.is_nested:
        images = list(images.unbind())
    if is_picture(images) or isinstance(images, (bytes, bytearray)):
        return SequenceSource([images], conversion, "picture")
    if isinstance(images, memoryview) and images.ndim == 1:
        return SequenceSource([bytes(images)], conversion, "picture")
    if is_file(images):
        return _of_file(images, conversion, parameter)
    if is_array(images) and not hasattr(images, "iloc"):
        return _of_array(images, conversion, count, parameter)
    if is_loader(images):
        return source_of_loader(images, conversion, count)
    if isinstance(images, Mapping):
        return _of_mapping(images, conversion, count, parameter)
    if isinstance(images, (set, frozenset)):
        raise InvalidParameter(
            parameter,
            allowed="images in an order",
            received=said("a set, which has none"),
            fix="Give a list: sorted(images).",
        )
    if hasattr(images, "columns") and hasattr(images, "to_dict"):  # a table of pandas or polars
        table = {str(name): list(images[name]) for name in images.columns}
        return _of_mapping(table, conversion, count, parameter)
    for method in ("tolist", "to_list"):  # columns of tables, such as a series of paths
        if callable(getattr(images, method, None)):
            return _whole(getattr(images, method)(), conversion, count, parameter)
    if hasattr(images, "__len__") and hasattr(images, "__getitem__") and not is_iterable_only(images):
        return _of_sequence(images, conversion, count, parameter)
    if hasattr(images, "__iter__") or hasattr(images, "__getitem__"):
        return source_of_iterable(images, conversion, count)
    raise _no_images(images, parameter)


def _no_images(images: Any, parameter: str) -> InvalidParameter:
    return InvalidParameter(
        parameter,
        allowed="arrays, tensors, pictures, paths, a data set, a data loader or an iterable",
        received=images,
        fix='For example a NumPy array (N, H, W, C), a folder, or "photos:200".',
    )


def _at(place: str, conversion: Conversion, count: int | None, parameter: str) -> Source:
    """The images at a path or an address."""
    if is_array_file(place):
        path = local_path(place) or place
        if is_address(path):
            found: list[Place] = list(places_at(path))
        else:
            found = [LocalPlace(Path(path).expanduser())] if Path(path).expanduser().exists() else []
        if len(found) == 1:
            return _of_array(array_at(found[0], conversion.column), replace(conversion, column=None), count, parameter)
    return source_at(place, conversion, count)


def _of_file(images: Any, conversion: Conversion, parameter: str) -> Source:
    """The content of a file object, from where it stands."""
    try:
        content = images.read()
    except Exception as error:  # closed files, and files that are open for writing, share no exception
        raise InvalidParameter(
            parameter,
            allowed="a file that is open for reading bytes",
            received=images,
            fix=f"It cannot be read ({error}): give its path.",
        ) from error
    if not isinstance(content, bytes) or not content:
        raise InvalidParameter(
            parameter,
            allowed="a file that is open for reading bytes, at the beginning of a picture",
            received=said("one that is at its end" if isinstance(content, bytes) else "a file of text"),
            fix="Open it with open(path, 'rb'), or give its path.",
        )
    return SequenceSource([content], conversion, "picture")


def _of_array(images: Any, conversion: Conversion, count: int | None, parameter: str) -> Source:
    if isinstance(images, memoryview):
        images = np.asarray(images)
    axes = len(images.shape)
    fields = getattr(images.dtype, "names", None)
    if fields and axes <= 1:
        return _of_mapping({name: images[name] for name in fields}, conversion, count, parameter)
    if axes == 1:  # an array of paths, or of objects
        if len(images):
            return _whole(list(images), conversion, count, parameter)
        return SequenceSource([], conversion, "array")
    flat = axes == 2 and conversion.channels == 1
    single = flat or (axes == 3 and not (conversion.channels == 1 and 1 not in (images.shape[0], images.shape[-1])))
    if (axes not in (3, 4) and not flat) or 0 in images.shape:
        raise InvalidImages(
            parameter,
            allowed=f"shape (N, H, W, {conversion.channels}) or (H, W, {conversion.channels})",
            received=said(f"shape {tuple(images.shape)}"),
            fix="Grey images are repeated for three channels: numpy.stack([image] * 3, axis=-1)."
            if axes == 2
            else "The layout is channel-last.",
        )
    special = is_torch(images) and (images.is_quantized or str(images.layout) != "torch.strided")
    if special or type(images).__module__.split(".")[0] in ("jax", "jaxlib"):
        # Each row that is cut from an array of JAX is a call to its device; others cannot be cut.
        array = as_array(images, parameter)
        stated = conversion.layout is not None
        images = array if stated else conversion.channel_last(array, images, parameter)
    return ArraySource(images[None] if single else images, conversion)


def _of_sequence(images: Any, conversion: Conversion, count: int | None, parameter: str) -> Source:
    what = type(images).__qualname__
    if not length_of(images, parameter):
        return SequenceSource([], conversion, what)
    conversion = with_column(images, conversion)
    if isinstance(images, (list, tuple)):
        if all(isinstance(item, (str, os.PathLike)) for item in images):
            return _of_paths([os.fsdecode(item) for item in images], conversion, parameter)
        if is_nested_list(images):
            array = _numbers(images, parameter)
            if array.ndim > 2 or conversion.channels == 1:
                return _of_array(array, conversion, count, parameter)
        whole = _whole_of_pair(images, conversion)
        if whole is not None:
            return _of_array(whole, conversion, count, parameter)
        if any(is_batch(item, conversion) for item in images):
            total = sum(len(rows_of(item, conversion)) for item in images)
            return IterableSource(images, total, conversion, what, batched=True)
        return SequenceSource(images, conversion, what)
    first = None
    try:
        first = images[0]
    except Exception as error:
        if isinstance(error, (TypeError, NotImplementedError)) and hasattr(images, "__iter__"):
            return source_of_iterable(images, conversion, count)
        if isinstance(error, IndexError) or (isinstance(error, KeyError) and about_item(error, 0)):
            raise InvalidParameter(
                parameter,
                allowed="a sequence, with items 0 to len(images) - 1",
                received=said(f"a {what} without item 0 ({error!r})"),
                fix="Make a list of the images.",
            ) from error
        # Another item that cannot be read is told, or skipped, when it is read.
    if first is not None and is_batch(first, conversion) and not _is_batch_of_one(first, conversion):
        return source_of_batches(_Items(images), conversion, what, count)
    return SequenceSource(images, conversion, what)


@dataclass(frozen=True)
class _Items:
    """A sequence that is gone through by its indices."""

    sequence: Any

    def __iter__(self) -> Iterator[Any]:
        return (self.sequence[index] for index in range(len(self.sequence)))


def _of_paths(paths: list[str], conversion: Conversion, parameter: str) -> Source:
    """A list of image files, addresses or shards."""
    paths = [local_path(path) or path for path in paths]
    if any(is_shard(path) for path in paths):
        paths = [each for path in paths for each in expanded(path)]
        return source_of_shards([place for path in paths for place in _shards_at(path)], conversion)
    addresses = [path for path in paths if is_address(path)]
    if addresses and len(addresses) < len(paths):
        raise InvalidParameter(
            parameter,
            allowed="a list of paths, or one of addresses",
            received=said(f"{len(addresses)} addresses and {len(paths) - len(addresses)} paths"),
            fix="Copy the files to one place, or give them in two calls.",
        )
    if addresses:
        return RemoteSource(tuple(place for path in paths for place in places_at(path)), conversion)
    return FileSource(tuple(_path(path, parameter) for path in paths), conversion)


def _shards_at(path: str) -> Sequence[Place]:
    if not is_shard(path):
        raise InvalidParameter(
            "images", allowed="a list of shards alone", received=path, fix="Give names that end in .tar."
        )
    return places_at(path) if is_address(path) else [LocalPlace(_path(path, "images"))]


def _whole_of_pair(images: Sequence[Any], conversion: Conversion) -> Any:
    """The images of ``(images, labels)``, with an array of each; None for anything else."""
    several = [item for item in images if is_batch(item, conversion) and is_array(item)]
    others = [item for item in images if is_array(item) and len(item.shape) <= 2]
    if len(several) != 1 or len(images) == 1 or len(several) + len(others) < len(images):
        return None
    return several[0] if all(len(item.shape) and len(item) == len(several[0]) for item in others) else None


def _is_batch_of_one(item: Any, conversion: Conversion) -> bool:
    return len(rows_of(item, conversion)) == 1


def _numbers(images: Any, parameter: str) -> NDArray[Any]:
    try:
        return np.asarray(images)
    except ValueError as error:
        raise InvalidImages(
            parameter,
            allowed="nested lists of one length in each axis",
            received=said("lists of several lengths"),
            fix="Make an array of each image: [numpy.asarray(image) for image in images].",
        ) from error


def _of_mapping(images: Any, conversion: Conversion, count: int | None, parameter: str) -> Source:
    values = list(images.values())
    if not values:
        return SequenceSource([], conversion, "mapping")
    if values and all(hasattr(value, "column_names") for value in values):
        raise InvalidParameter(
            parameter,
            allowed="one data set",
            received=said(f"a mapping of the splits {', '.join(map(repr, images))}"),
            fix=f"Choose one: data[{next(iter(images))!r}].",
        )
    key = conversion.column if conversion.column is not None else batch_column(images, conversion)
    if key is None or key not in images:
        firsts = {name: _first_of(value) for name, value in images.items()}
        key = image_column(firsts, conversion.column, parameter, conversion.channels)
    return _whole(images[key], replace(conversion, column=None), count, parameter)


def _first_of(value: Any) -> Any:
    """What tells whether the values of a column are images."""
    return value[0] if isinstance(value, (list, tuple)) and value and not is_nested_list(value) else value


def _path(item: str, parameter: str) -> Path:
    path = Path(item).expanduser()
    try:
        mode = path.stat().st_mode
    except (OSError, ValueError):
        fix = "That file does not exist: check the path."
    else:
        if stat.S_ISREG(mode):
            return path
        folder = stat.S_ISDIR(mode)
        fix = "That is a folder: give it alone, or list its files." if folder else "That is no regular file."
    raise InvalidParameter(parameter, allowed="paths of image files", received=item, fix=fix)
