"""Read weights files without running code that they contain."""

from __future__ import annotations

import pickle
import warnings
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from phosphene.errors import CorruptWeights, InvalidParameter
from phosphene.kit.documents import DAMAGE
from phosphene.kit.tensors import check_tensors

__all__ = ["SAFE", "TORCH", "check_file", "read_numpy", "read_torch", "refused"]

SAFE = (".safetensors",)
TORCH = (".pt", ".pth", ".bin", ".ckpt")

WRAPPERS = ("state_dict", "model_state_dict", "model", "module", "net")
"""Keys under which training scripts store the weights in a larger dictionary."""
PREFIXES = ("module.", "_orig_mod.", "model.", "net.")
"""Prefixes that wrappers add to every key: DataParallel, torch.compile, training frameworks."""


def check_file(path: Path, endings: tuple[str, ...] = SAFE + TORCH) -> Path:
    """Check that `path` is a file with one of `endings`, and return it.

    Raises
    ------
    InvalidParameter
        If there is no such file, or it has another ending.
    """
    allowed = f"'random', or the path of a file that ends in {' or '.join(endings)}"
    if path.suffix.lower() not in endings:
        raise InvalidParameter(
            "weights",
            allowed=allowed,
            received=str(path),
            fix="Load it into the model yourself, and pass the model to ph.wrap.",
        )
    if not path.is_file():
        raise InvalidParameter(
            "weights", allowed=allowed, received=str(path), fix="There is no such file: check the path."
        )
    return path


def read_torch(path: Path, keys: Iterable[str] = ()) -> tuple[dict[str, Any], list[str]]:
    """Read a weights file as tensors by key.

    Parameters
    ----------
    path : Path
        A ``.safetensors`` file or a PyTorch state dict.
    keys : iterable of str
        Keys of the model; prefixes that they have are not removed.

    Returns
    -------
    dict of str to torch.Tensor
    list of str
        Messages about what was unwrapped.

    Raises
    ------
    InvalidParameter
        If there is no such file, or its ending is not supported.
    CorruptWeights
        If the file cannot be read, contains other values than arrays, or would have to be unpickled.
    """
    check_file(path)
    if path.suffix.lower() in SAFE:
        from safetensors import SafetensorError
        from safetensors.torch import load_file

        try:
            check_tensors(path)
            arrays = load_file(path)
        except (*DAMAGE, SafetensorError) as error:
            raise CorruptWeights(str(path), f"cannot be read ({error})") from error
        return _unprefixed(arrays, keys, path)
    import torch

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # about the pickle protocol: such files are rejected anyway
            content = torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        raise refused(path, error) from error
    except Exception as error:  # bytes that are not a pickle can raise anything
        reason = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise CorruptWeights(str(path), f"cannot be read ({reason})") from error
    inner, notes = _unwrapped(content, path)
    arrays, more = _unprefixed(inner, keys, path)
    return arrays, notes + more


def read_numpy(path: Path) -> dict[str, Any]:
    """Read a ``.safetensors`` file as NumPy arrays by key.

    Raises
    ------
    InvalidParameter
        If there is no such file, or it is not a ``.safetensors`` file.
    CorruptWeights
        If it cannot be read.
    """
    check_file(path, SAFE)
    from safetensors import SafetensorError
    from safetensors.numpy import load_file

    try:
        check_tensors(path)
        return dict(load_file(path))
    except (*DAMAGE, SafetensorError) as error:
        raise CorruptWeights(str(path), f"cannot be read ({error})") from error


def refused(path: Path, error: BaseException) -> CorruptWeights:
    """Return the error for a file that can only be read by running code that it contains.

    Parameters
    ----------
    path : Path
    error : Exception
        The exception of PyTorch.

    Returns
    -------
    CorruptWeights
        With the names of the functions that the file would run, if they can be found without running them.
    """
    import torch

    try:
        names = sorted(torch.serialization.get_unsafe_globals_in_checkpoint(path))
    except Exception:  # noqa: BLE001  (only for a better message: the file is rejected either way)
        names = []
    if not names and "Unsupported global" not in str(error) and "Unsupported class" not in str(error):
        return CorruptWeights(str(path), "is damaged, or not a PyTorch state dict; nothing of it was run")
    what = f" ({', '.join(names[:4])}{', ...' if len(names) > 4 else ''})" if names else ""
    return CorruptWeights(
        str(path),
        f"contains more than arrays{what}, and reading it would run code from the file; nothing of it was run. If you trust it, "
        "load it yourself and save its arrays with safetensors.torch.save_file, or build the model in a factory "
        "(package.module:factory).",
    )


def _unwrapped(content: Any, path: Path) -> tuple[Mapping[str, Any], list[str]]:
    notes: list[str] = []
    while isinstance(content, Mapping):
        key = next((key for key in WRAPPERS if isinstance(content.get(key), Mapping)), None)
        if key is None:
            return content, notes
        others = [repr(other) for other in content if other != key]
        beside = f", next to {', '.join(others[:6])}{', ...' if len(others) > 6 else ''}" if others else ""
        notes.append(f"the weights of {path.name} were read from its entry {key!r}{beside}")
        content = content[key]
    raise CorruptWeights(str(path), f"contains {type(content).__name__}, not a state dict (arrays by name)")


def _unprefixed(content: Mapping[str, Any], keys: Iterable[str], path: Path) -> tuple[dict[str, Any], list[str]]:
    import torch

    strangers = [f"{key!r} ({type(value).__name__})" for key, value in content.items() if not torch.is_tensor(value)]
    if strangers or not content:
        found = ", ".join(strangers[:4]) + (", ..." if len(strangers) > 4 else "")
        raise CorruptWeights(str(path), f"contains {found or 'nothing'}, not arrays by name")
    arrays, own = {str(key): value for key, value in content.items()}, list(keys)
    notes: list[str] = []
    while True:
        prefix = next((prefix for prefix in PREFIXES if all(key.startswith(prefix) for key in arrays)), None)
        if prefix is None or any(key.startswith(prefix) for key in own):
            return arrays, notes
        notes.append(f"the prefix {prefix!r} was removed from the keys of {path.name}")
        arrays = {key.removeprefix(prefix): value for key, value in arrays.items()}
