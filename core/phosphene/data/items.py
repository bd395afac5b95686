"""One item of a data set as an image: arrays, tensors, pictures of Pillow, paths, bytes, pairs and mappings that hold one."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from phosphene.data.fitting import Fit
from phosphene.data.formats import ENDINGS
from phosphene.data.pixels import decoded, from_pillow
from phosphene.errors import CorruptFile, InvalidImages, InvalidParameter, holds, said
from phosphene.kit.checks import listed
from phosphene.types import Size

__all__ = [
    "COLUMNS",
    "LAYOUTS",
    "Conversion",
    "as_array",
    "channel_last",
    "image_column",
    "image_part",
    "is_array",
    "is_file",
    "is_nested_list",
    "is_picture",
    "is_torch",
    "layout_by_shape",
]

LOG = logging.getLogger("phosphene")

LAYOUTS = ("channel-last", "channel-first")

COLUMNS = (
    *("image", "img", "images", "pixel_values", "pixels", "picture", "photo", "photograph"),
    *("x", "input", "inputs", "jpg", "jpeg", "png", "webp"),
)
"""Names under which mappings hold their image, in the order in which they are tried."""

MOST_AXES = 32
"""Most axes of an array; lists that are nested more deeply stand for none."""


@dataclass(frozen=True)
class Conversion:
    """How the items of a data set become images for a network.

    Attributes
    ----------
    size : (int, int)
        Height and width to which pictures and files are fitted.
    channels : int
        Number of channels.
    fit : Fit
        The resizing rule of pictures and files.
    arrays : bool
        Whether arrays are fitted too; otherwise their pixels are used as they are.
    own_size : bool
        Whether pictures and files keep their own size.
    layout : {"channel-last", "channel-first"}, optional
        Layout of arrays (default: told by the shape; NumPy arrays are channel-last).
    mean, std : tuple of float
        A normalisation that the arrays have had, and that is undone; empty if they have had none.
    column : str, optional
        Key of the image in items that are mappings (default: found).
    """

    size: Size
    channels: int
    fit: Fit = field(default_factory=Fit)
    arrays: bool = False
    own_size: bool = False
    layout: str | None = None
    mean: tuple[float, ...] = ()
    std: tuple[float, ...] = ()
    column: str | None = None
    told: list[str] = field(default_factory=list, compare=False, repr=False)
    """What the log has said of the layout: it is said once."""

    @property
    def wanted(self) -> Size | None:
        """Height and width to which pictures and files are fitted; None if they keep theirs."""
        return None if self.own_size else self.size

    def image(self, item: Any, name: str = "images") -> NDArray[Any]:
        """Convert an item to an image ``(H, W, C)``, as bytes or floats.

        Raises
        ------
        CorruptFile
            For a file that cannot be read as an image.
        InvalidImages
            For an array that is not an image of the network's channels.
        InvalidParameter
            For an item that holds no image.
        """
        found = image_part(item, self.column, name, self.channels)
        if is_picture(found):
            return from_pillow(found, self.channels, self.wanted, self.fit, name=name)
        if isinstance(found, (str, os.PathLike)):
            path = Path(os.fsdecode(found)).expanduser()
            try:
                return decoded(path, channels=self.channels, size=self.wanted, fit=self.fit)
            except FileNotFoundError as error:
                raise CorruptFile(str(path), "there is no such file") from error
        if _is_content(found) or is_file(found):
            content = found if is_file(found) else bytes(found)
            return decoded(content, channels=self.channels, size=self.wanted, fit=self.fit, name=name)
        return self.array(found, name)

    def array(self, value: Any, name: str = "images") -> NDArray[Any]:
        """Convert an array or a tensor ``(H, W, C)``, ``(C, H, W)``, or ``(H, W)`` for one channel, to an image."""
        array = as_array(value, name)
        if array.ndim == 4 and len(array) == 1:
            array = array[0]  # a batch of one
        if array.ndim == 2 and self.channels == 1:
            array = array[..., None]
        array = self.restored(self.channel_last(array, value, name), name)
        if self.arrays and array.ndim == 3 and array.shape[:2] != tuple(self.size):
            array = self.fit.apply(array, self.size)
        return array

    def channel_last(self, array: NDArray[Any], value: Any, name: str) -> NDArray[Any]:
        """Move the channels of an array, which was made from `value`, behind its rows and columns; see `channel_last`."""
        if self.layout is None and layout_by_shape(array.shape, self.channels, value) == "channel-first":
            if not self.told:
                self.told.append(name)
                LOG.info(
                    "%s: the shape %s is taken as channel-first; ph.images(..., layout=...) states another layout",
                    name,
                    tuple(array.shape),
                )
            return np.moveaxis(array, -3, -1)
        return channel_last(array, self.channels, self.layout, name=name)

    def restored(self, array: NDArray[Any], name: str) -> NDArray[Any]:
        """Undo the normalisation of channel-last images, if one is stated."""
        if not self.std:
            return array
        if not np.issubdtype(array.dtype, np.floating):
            raise InvalidImages(
                name,
                allowed="floats, where mean= and std= are stated",
                received=said(f"dtype {array.dtype}"),
                fix="Leave mean and std out: bytes are not normalised.",
            )
        pixels = array * np.asarray(self.std, np.float32) + np.asarray(self.mean, np.float32)
        low, high = float(pixels.min(initial=0.0)), float(pixels.max(initial=1.0))
        if not (low > -0.01 and high < 1.01):
            raise InvalidImages(
                name,
                allowed="values that the stated mean and std map to [0, 1]",
                received=said(f"values from {low:.4g} to {high:.4g} after that"),
                fix="State the mean and std with which the images were normalised, for values in [0, 1].",
            )
        clipped: NDArray[Any] = np.clip(pixels, 0.0, 1.0)  # rounding
        return clipped


def is_picture(value: object) -> bool:
    """Whether a value is an image of Pillow; Pillow is not imported to tell."""
    return any(base.__module__ == "PIL.Image" and base.__name__ == "Image" for base in type(value).__mro__)


def is_torch(value: object) -> bool:
    """Whether a value is a tensor of torch; torch is not imported to tell."""
    return any(base.__module__ == "torch" and base.__name__ == "Tensor" for base in type(value).__mro__)


def is_array(value: object) -> bool:
    """Whether a value is an array of any framework, in memory or on disk."""
    if isinstance(value, memoryview):
        return value.ndim > 1
    if isinstance(value, (type, Mapping)) or is_picture(value):
        return False
    try:
        return getattr(value, "is_nested", False) is not True and all(
            hasattr(value, name) for name in ("shape", "dtype", "__getitem__")
        )
    except Exception:  # noqa: BLE001  # tensors without a shape, such as nested ones
        return False


def is_file(value: object) -> bool:
    """Whether a value is a file object that is open."""
    return holds(value, "read", "seek") and callable(value.read) and callable(value.seek)  # type: ignore[attr-defined]


def as_array(value: Any, name: str = "images") -> NDArray[Any]:
    """Convert an array of any framework, or nested lists of numbers, to NumPy; half precisions become float32."""
    if isinstance(value, np.ma.MaskedArray) and np.ma.is_masked(value):
        raise InvalidImages(
            name,
            allowed="arrays all of whose pixels are known",
            received=said(f"a masked array, {int(np.ma.getmaskarray(value).sum())} of whose values are masked"),
            fix="Fill them first: images.filled(0.5), for example.",
        )
    try:
        if is_torch(value):
            array: NDArray[Any] = _strided(value).numpy(force=True)
        else:
            array = np.asarray(value)
    except Exception as error:  # frameworks share no exception for values that NumPy cannot hold
        raise InvalidImages(
            name,
            allowed="arrays that can be converted to NumPy",
            received=said(f"a {type(value).__name__}, for which that fails ({error})"),
            fix="Convert the images to a NumPy array (N, H, W, C) first.",
        ) from error
    small = array.dtype.name.startswith(("bfloat16", "float16", "float8", "float6", "float4"))
    return array.astype(np.float32) if small else array


def _strided(tensor: Any) -> Any:
    """A tensor of torch in a form that NumPy knows."""
    if tensor.is_quantized:
        tensor = tensor.dequantize()
    if str(tensor.layout) != "torch.strided":
        tensor = tensor.to_dense()
    known = ("torch.float32", "torch.float64")
    return tensor.float() if tensor.is_floating_point() and str(tensor.dtype) not in known else tensor


def layout_by_shape(shape: Sequence[int], channels: int, value: object) -> str:
    """The layout of an array by its shape: arrays of NumPy are channel-last.

    Of tensors, channels stand in front where only the third axis from the end has as many entries as the network has channels.
    Where both would do, tensors of torch are taken as channel-first and those of other frameworks as channel-last.
    """
    if len(shape) < 3 or not _is_tensor(value):
        return "channel-last"
    last, first = shape[-1] == channels, shape[-3] == channels
    return "channel-first" if first and (is_torch(value) or not last) else "channel-last"


def _is_tensor(value: object) -> bool:
    """Whether a value is an array of a framework for networks, rather than of NumPy or on disk."""
    return is_torch(value) or (hasattr(value, "__dlpack__") and not isinstance(value, np.ndarray))


def channel_last(array: NDArray[Any], channels: int, layout: str | None, *, name: str = "images") -> NDArray[Any]:
    """Move the channels of an image, or of several, behind its rows and columns, if `layout` says that they stand in front."""
    if array.ndim < 3:
        return array
    last, first = array.shape[-1] == channels, array.shape[-3] == channels
    moved = layout == "channel-first"
    if layout is not None and not (first if moved else last):
        raise InvalidImages(
            name,
            allowed=f"{layout} images of {channels} channels, as layout={layout!r} states",
            received=said(f"shape {array.shape}"),
            fix="State the other layout, or leave layout out.",
        )
    return np.moveaxis(array, -3, -1) if moved else array


def image_part(item: Any, column: str | None, name: str = "images", channels: int | None = None) -> Any:
    """The image of an item: the item itself, the first image of a pair, or the image column of a mapping.

    Raises
    ------
    InvalidParameter
        If none of the parts is an image, or several columns may be it.
    """
    if isinstance(item, tuple) and column is not None and hasattr(item, "_asdict"):
        item = item._asdict()
    if isinstance(item, Mapping):
        return _encoded(item) or image_part(item[image_column(item, column, name, channels)], None, name, channels)
    if isinstance(item, (tuple, list)) and (not item or not is_nested_list(item)):
        held = _likeliest(enumerate(item), channels)
        if not held:
            raise _no_image(item, name)
        return image_part(item[held[0]], column, name, channels)
    if not _is_image(item):
        raise _no_image(item, name)
    return item


def image_column(item: Mapping[Any, Any], column: str | None, name: str = "images", channels: int | None = None) -> Any:
    """The key under which a mapping holds its image."""
    keys = list(item)
    if column is not None:
        if column in item:
            return column
        raise InvalidParameter(
            "column", allowed=listed(keys[:20]), received=column, fix="Name the column that holds the image."
        )
    held = [key for key in keys if _holds_image(item[key])]
    named = [key for wanted in COLUMNS for key in held if isinstance(key, str) and key.lower() == wanted]
    endings = [key for key in held if isinstance(key, str) and key.rpartition(".")[2].lower() in COLUMNS]
    likeliest = _likeliest(item.items(), channels)
    for found in (named[:1], endings, likeliest):
        if len(found) == 1:
            return found[0]
    if not held:
        raise InvalidParameter(
            name,
            allowed="items with an image",
            received=said(f"a mapping of {listed(keys[:20])}, none of which is one"),
            fix="Images are arrays, tensors, pictures of Pillow, paths or encoded bytes.",
        )
    raise InvalidParameter(
        "column",
        allowed=listed(likeliest[:20]),
        received=None,
        fix=f"Several columns hold images: ph.images(data, column={likeliest[0]!r}).",
    )


def _likeliest(parts: Iterable[tuple[Any, Any]], channels: int | None) -> list[Any]:
    """Which parts of an item are its image: pixels of the network's channels, else other pixels, else texts like paths."""
    held = [(key, value) for key, value in parts if _holds_image(value)]
    pixels = [(key, value) for key, value in held if not isinstance(value, (str, os.PathLike))]
    fitting = [(key, value) for key, value in pixels if _fits(value, channels)]
    return [key for key, _ in fitting or pixels or held]


def _fits(value: Any, channels: int | None) -> bool:
    """Whether pixels may be those of an image of the network's channels."""
    if not is_array(value) or channels is None:
        return True
    shape = tuple(value.shape)
    return (len(shape) == 2 and channels == 1) or (len(shape) > 2 and channels in (shape[-1], shape[-3]))


def _encoded(item: Mapping[Any, Any]) -> Any:
    """The content or the path of an undecoded image of Hugging Face ``datasets``, or None."""
    if set(item) == {"bytes", "path"}:
        return item["bytes"] or item["path"]
    return None


def _is_content(value: Any) -> bool:
    return isinstance(value, (bytes, bytearray)) or (isinstance(value, memoryview) and value.ndim == 1)


def _is_image(value: Any) -> bool:
    if isinstance(value, (str, os.PathLike)) or is_file(value):
        return True
    if _is_content(value):
        return len(value) > 8
    if is_picture(value):
        return True
    if is_array(value):
        return len(value.shape) >= 2
    return isinstance(value, (tuple, list)) and is_nested_list(value)


def _holds_image(value: Any) -> bool:
    if isinstance(value, Mapping):
        return bool(_encoded(value))
    if isinstance(value, str):
        # Captions and class names stand beside images; a path has the ending of an image, or a folder and no blanks.
        if len(value) > 4095 or "\n" in value:
            return False
        return Path(value).suffix.lower() in ENDINGS or (("/" in value or "\\" in value) and " " not in value)
    return _is_image(value)


def is_nested_list(value: Any) -> bool:
    """Whether nested lists of numbers stand for an array of two axes or more."""
    for _ in range(MOST_AXES):
        first = value[0] if isinstance(value, (tuple, list)) and value else None
        if not isinstance(first, (tuple, list)) or not first or not isinstance(value[-1], (tuple, list)):
            return False
        if isinstance(first[0], (int, float)):
            return True
        value = first
    return False


def _no_image(item: Any, name: str) -> InvalidParameter:
    return InvalidParameter(
        name,
        allowed="images: arrays, tensors, pictures of Pillow, paths, encoded bytes, or pairs and mappings that hold one",
        received=item,
        fix="Give one image per item, for example an array (H, W, C) of floats in [0, 1] or of bytes.",
    )
