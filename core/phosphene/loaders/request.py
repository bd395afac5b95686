"""The request that `load` passes to a loader, the result that it returns, and helpers that loaders share."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from phosphene.errors import InvalidParameter, PhospheneError
from phosphene.types import Size

__all__ = ["RANDOM", "Loaded", "Request", "calling", "placed", "seeded"]

RANDOM = "random"
"""Value of `weights` for randomly initialised weights."""


@dataclass(frozen=True)
class Request:
    """Arguments of `load`.

    Attributes
    ----------
    name : str
        The name without its prefix.
    weights : str, Path or None
        None for the published weights, "random", or a file.
    seed : int
        Random seed of random weights.
    backend : str or None
        The backend, if given.
    size : (int, int) or None
        Height and width, if given.
    classes : tuple of str or None
        Names of the outputs, if given.
    arguments : mapping
        Arguments of the architecture or the factory.
    """

    name: str
    weights: str | Path | None = None
    seed: int = 0
    backend: str | None = None
    size: Size | None = None
    classes: tuple[str, ...] | None = None
    arguments: Mapping[str, Any] = field(default_factory=dict)

    @property
    def file(self) -> Path | None:
        """The path of the weights, if they are a file."""
        return None if self.weights is None or self.weights == RANDOM else Path(self.weights).expanduser()

    @property
    def own_outputs(self) -> dict[str, int]:
        """``num_classes`` from the class names, unless weights are the published ones or it is given."""
        if self.weights is None or self.classes is None or "num_classes" in self.arguments:
            return {}
        return {"num_classes": len(self.classes)}

    def only(self, backend: str, package: str) -> None:
        """Raise if another backend than that of the models of `package` is requested.

        Raises
        ------
        InvalidParameter
            If another backend is requested.
        """
        if self.backend not in (None, backend):
            raise InvalidParameter(
                "backend",
                allowed=f"{backend!r} for models of {package}",
                received=self.backend,
                fix="Leave `backend` out.",
            )


@dataclass(frozen=True)
class Loaded:
    """The result of a loader.

    Attributes
    ----------
    model : object
        Any model that `phosphene.wrap` takes.
    settings : mapping
        Keyword arguments of `phosphene.wrap` from the model's configuration; arguments of the caller take precedence.
    notes : sequence of str
        Messages for the user, issued as warnings.
    """

    model: Any
    settings: Mapping[str, Any] = field(default_factory=dict)
    notes: Sequence[str] = ()


@contextlib.contextmanager
def seeded(seed: int) -> Iterator[None]:
    """A context in which PyTorch modules are initialised on the CPU with `seed`; the global random state is restored."""
    import torch

    # Not torch.manual_seed, which also seeds the devices, whose states are not restored here.
    with torch.random.fork_rng(devices=[]), torch.inference_mode(False), torch.device("cpu"):
        torch.default_generator.manual_seed(seed)
        yield


@contextlib.contextmanager
def calling(what: str, arguments: Mapping[str, Any]) -> Iterator[None]:
    """A context in which exceptions about an architecture's arguments become an error about `arguments`.

    Raises
    ------
    InvalidParameter
        In place of a TypeError or ValueError raised inside.
    """
    try:
        yield
    except (TypeError, ValueError) as error:
        if isinstance(error, PhospheneError) or not arguments:
            raise
        raise InvalidParameter(
            "arguments",
            allowed=f"arguments that {what} accepts",
            received=dict(arguments),
            fix=f"It raised {type(error).__name__}: {error}",
        ) from error


def placed(model: Any, device: str | None, dtype: str | None) -> Any:
    """Move a module to `device` and `dtype`, so that its weights are not converted at each call.

    An unknown device or precision is ignored here; `phosphene.wrap` raises for it.
    """
    import torch

    kind = getattr(torch, dtype, None) if dtype in ("float16", "bfloat16", "float32", "float64") else None
    with contextlib.suppress(RuntimeError, AssertionError, ValueError):
        model.to(device=device, dtype=kind)
    return model
