"""Results that are a few arrays and words, as one ``.npz``: written whole or not at all, and read without trust."""

from __future__ import annotations

import io
import json
import zipfile
import zlib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from phosphene.errors import CorruptFile

__all__ = ["load_archive", "save_archive"]

FORMAT = 1
Result = TypeVar("Result")


def save_archive(path: Path, kind: str, arrays: Mapping[str, Any], words: Mapping[str, Any]) -> Path:
    """Write arrays and words, plain JSON, to a ``.npz``.

    Raises
    ------
    UnwritablePath
        When the place cannot be written.
    """
    from phosphene.writing import write_whole

    metadata = np.asarray(json.dumps({"format": FORMAT, "kind": kind, **words}))
    buffer = io.BytesIO()
    np.savez_compressed(buffer, **arrays, metadata=metadata)
    write_whole(path, buffer.getvalue())
    return path


def load_archive(
    path: str | Path,
    kind: str,
    names: tuple[str, ...],
    build: Callable[[dict[str, Any], dict[str, Any]], Result],
) -> Result:
    """What `build` makes of the words and the arrays `names` of such a file; it may raise ValueError for what does not fit.

    Raises
    ------
    FileNotFoundError
        When there is nothing.
    CorruptFile
        When it is something else, or damaged, or of a later version.
    """
    try:
        with Path(path).open("rb") as stream, np.load(stream, allow_pickle=False) as archive:
            words = json.loads(str(archive["metadata"]))
            if words.get("kind") != kind:
                raise ValueError("another result is in it")
            if words["format"] > FORMAT:
                raise ValueError(f"written in format {words['format']}, this version reads up to {FORMAT}")
            arrays = {name: archive[name] for name in names}
        return build(words, arrays)
    except FileNotFoundError:
        raise
    except (
        *(OSError, EOFError, KeyError, ValueError, TypeError, IndexError, AttributeError, RuntimeError),
        *(zipfile.BadZipFile, zlib.error),
    ) as error:
        raise CorruptFile(str(path), f"no {kind} of phosphene, or damaged ({error})") from error
