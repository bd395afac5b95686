"""Batches that data loaders and generators yield, and the images in them."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from phosphene.data.items import Conversion, as_array, image_column, image_part, is_array
from phosphene.errors import InvalidParameter, PhospheneError, said

__all__ = ["batch_column", "is_batch", "rows_of", "unrolled"]


def is_batch(item: Any, conversion: Conversion) -> bool:
    """Whether an item holds several images: an array of four axes, or of three of grey images, alone, in a pair or a mapping."""
    item = _fields(item)
    if isinstance(item, Mapping):
        column = conversion.column
        return batch_column(item, conversion) is not None if column is None else _several(item.get(column), conversion)
    if isinstance(item, (tuple, list)) and item:
        return any(_several(part, conversion) for part in item)
    return _several(item, conversion)


def batch_column(item: Mapping[Any, Any], conversion: Conversion) -> Any:
    """The key of the only array of several images, or None."""
    held = [key for key, value in item.items() if _several(value, conversion)]
    fitting = [key for key in held if conversion.channels in (item[key].shape[-1], item[key].shape[-3])]
    return next((found[0] for found in (held, fitting) if len(found) == 1), None)


def rows_of(batch: Any, conversion: Conversion) -> Any:
    """The images of a batch, as an array or a list of items."""
    batch = _fields(batch)
    if isinstance(batch, Mapping):
        key = conversion.column if conversion.column is not None else batch_column(batch, conversion)
        if key is None:
            lists = {name: value for name, value in batch.items() if isinstance(value, (tuple, list)) and value}
            several = {name: value for name, value in batch.items() if _several(value, conversion)}
            firsts = {name: value[0] for name, value in {**lists, **several}.items()}
            key = image_column(firsts, None, channels=conversion.channels)
        if key not in batch:
            image_column(batch, key)
        return batch[key]
    if isinstance(batch, (tuple, list)) and batch:
        arrays = [part for part in batch if _several(part, conversion)]
        fitting = [part for part in arrays if conversion.channels in (part.shape[-1], part.shape[-3])]
        if arrays:
            return (fitting or arrays)[0]
        if any(
            isinstance(part, (tuple, list)) and part and all(_several(each, conversion) for each in part)
            for part in batch
        ):
            raise InvalidParameter(
                "images",
                allowed="batches with one array of images",
                received=said("batches with a list of several, such as two views of each image"),
                fix="Choose one: ph.images((batch[0][0] for batch in loader), count=1000), for example.",
            )
        if isinstance(batch, tuple):  # (images, labels), with the images in a list
            return next((part for part in batch if _is_list_of_images(part, conversion)), batch)
    return batch


def unrolled(batch: Any, conversion: Conversion) -> Iterator[Any]:
    """The images of a batch, one by one.

    Raises
    ------
    InvalidParameter
        For something that holds no images.
    """
    rows = rows_of(batch, conversion)
    if is_array(rows) and not isinstance(rows, np.ndarray):
        # Converted once a batch; where its layout is stated, its rows have it still.
        array = as_array(rows)
        rows = array if conversion.layout is not None else conversion.channel_last(array, rows, "images")
    try:
        return iter(rows)
    except TypeError as error:
        raise InvalidParameter(
            "images",
            allowed="batches of images",
            received=said(f"a batch that is a {type(rows).__qualname__}"),
            fix="Give images.",
        ) from error


def _several(value: Any, conversion: Conversion) -> bool:
    if not is_array(value):
        return False
    shape = tuple(value.shape)
    return len(shape) == 4 or (
        # Grey images without an axis of channels.
        len(shape) == 3 and conversion.channels == 1 and 1 not in (shape[0], shape[-1])
    )


def _is_list_of_images(part: Any, conversion: Conversion) -> bool:
    if not isinstance(part, (tuple, list)) or not part:
        return False
    try:
        image_part(part[0], conversion.column, channels=conversion.channels)
    except PhospheneError:
        return False
    return True


def _fields(item: Any) -> Any:
    """Named tuples and dataclasses as mappings."""
    if isinstance(item, tuple) and hasattr(item, "_asdict"):
        return item._asdict()
    if dataclasses.is_dataclass(item) and not isinstance(item, type):
        return {field.name: getattr(item, field.name) for field in dataclasses.fields(item)}
    return item
