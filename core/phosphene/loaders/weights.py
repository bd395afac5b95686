"""Weights files: read without running anything that is in them."""

from __future__ import annotations

import pickle
import warnings
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from phosphene.errors import CorruptWeights, InvalidParameter

__all__ = ["SAFE", "TORCH", "check_file", "read_numpy", "read_torch", "refused"]

SAFE = (".safetensors",)
TORCH = (".pt", ".pth", ".bin", ".ckpt")

WRAPPERS = ("state_dict", "model_state_dict", "model", "module", "net")
"""Keys under which training scripts put the weights beside other things."""
PREFIXES = ("module.", "_orig_mod.", "model.", "net.")
"""What wrappers put in front of every key: DataParallel, torch.compile, training frameworks."""


def check_file(path: Path, endings: tuple[str, ...] = SAFE + TORCH) -> Path:
    """`path`, if it is a file with one of `endings`.

    Raises
    ------
    InvalidParameter
        When there is no such file, or its ending is another.
    """
    allowed = f"'random', or the path of a file that ends in {' or '.join(endings)}"
    if path.suffix.lower() not in endings:
        raise InvalidParameter(
            "weights", allowed=allowed, received=str(path),
            fix="Load it yourself, give the arrays to the model, and hand it to ph.wrap.",
        )  # fmt: skip
    if not path.is_file():
        raise InvalidParameter("weights", allowed=allowed, received=str(path), fix="There is no such file.")
    return path


def read_torch(path: Path, keys: Iterable[str] = ()) -> tuple[dict[str, Any], list[str]]:
    """A weights file as tensors by key.

    Parameters
    ----------
    path : Path
        ``.safetensors``, or a state dict of PyTorch.
    keys : iterable of str
        Those of the model that is to have them: what they begin with is no wrapper's prefix.

    Returns
    -------
    dict of str to torch.Tensor
    list of str
        What was unwrapped, in words.

    Raises
    ------
    InvalidParameter
        When there is no such file, or its ending is not known.
    CorruptWeights
        When it cannot be read, holds something else than arrays, or would have to be unpickled.
    """
    check_file(path)
    if path.suffix.lower() in SAFE:
        from safetensors import SafetensorError
        from safetensors.torch import load_file

        try:
            return _unprefixed(load_file(path), keys, path)
        except (OSError, SafetensorError, ValueError, KeyError) as error:
            raise CorruptWeights(str(path), f"cannot be read ({error})") from error
    import torch

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of a pickle protocol: such files are refused, not read on
            content = torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        raise refused(path, error) from error
    except Exception as error:  # bytes that are no pickle can raise anything
        reason = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise CorruptWeights(str(path), f"cannot be read ({reason})") from error
    inner, notes = _unwrapped(content, path)
    arrays, more = _unprefixed(inner, keys, path)
    return arrays, notes + more


def read_numpy(path: Path) -> dict[str, Any]:
    """A ``.safetensors`` file as NumPy arrays by key.

    Raises
    ------
    InvalidParameter
        When there is no such file, or it is of another kind.
    CorruptWeights
        When it cannot be read.
    """
    check_file(path, SAFE)
    from safetensors import SafetensorError
    from safetensors.numpy import load_file

    try:
        return dict(load_file(path))
    except (OSError, SafetensorError, ValueError, KeyError, TypeError) as error:
        raise CorruptWeights(str(path), f"cannot be read ({error})") from error


def refused(path: Path, error: BaseException) -> CorruptWeights:
    """The error for a file that can only be read by running what is in it.

    Parameters
    ----------
    path : Path
    error : Exception
        What PyTorch said.

    Returns
    -------
    CorruptWeights
        With the names of what the file would run, where they can be found without running it.
    """
    import torch

    try:
        names = sorted(torch.serialization.get_unsafe_globals_in_checkpoint(path))
    except Exception:  # noqa: BLE001  (a look for a better message: the file is refused either way)
        names = []
    if not names and "Unsupported global" not in str(error) and "Unsupported class" not in str(error):
        return CorruptWeights(str(path), "is no state dict of PyTorch, or damaged, or a pickle; nothing of it was run")
    what = f" ({', '.join(names[:4])}{', ...' if len(names) > 4 else ''})" if names else ""
    return CorruptWeights(
        str(path),
        f"holds more than arrays{what}, and reading that runs code of whoever made the file; nothing of it was run. Where you "
        "trust it, load it yourself and save its arrays with safetensors.torch.save_file, or build the model in a factory "
        "(package.module:factory).",
    )


def _unwrapped(content: Any, path: Path) -> tuple[Mapping[str, Any], list[str]]:
    notes: list[str] = []
    while isinstance(content, Mapping):
        key = next((key for key in WRAPPERS if isinstance(content.get(key), Mapping)), None)
        if key is None:
            return content, notes
        others = [repr(other) for other in content if other != key]
        beside = f", beside {', '.join(others[:6])}{', ...' if len(others) > 6 else ''}" if others else ""
        notes.append(f"the weights of {path.name} were under {key!r}{beside}")
        content = content[key]
    raise CorruptWeights(str(path), f"holds {type(content).__name__}, not a state dict: arrays by name")


def _unprefixed(content: Mapping[str, Any], keys: Iterable[str], path: Path) -> tuple[dict[str, Any], list[str]]:
    import torch

    strangers = [f"{key!r} ({type(value).__name__})" for key, value in content.items() if not torch.is_tensor(value)]
    if strangers or not content:
        found = ", ".join(strangers[:4]) + (", ..." if len(strangers) > 4 else "")
        raise CorruptWeights(str(path), f"holds {found or 'nothing'}, not arrays by name")
    arrays, own = {str(key): value for key, value in content.items()}, list(keys)
    notes: list[str] = []
    while True:
        prefix = next((prefix for prefix in PREFIXES if all(key.startswith(prefix) for key in arrays)), None)
        if prefix is None or any(key.startswith(prefix) for key in own):
            return arrays, notes
        notes.append(f"{prefix!r} was taken off the keys of {path.name}")
        arrays = {key.removeprefix(prefix): value for key, value in arrays.items()}
