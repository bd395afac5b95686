"""What a loader is asked for, and what it hands back: the words that all loaders share."""

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
"""The word for an architecture whose weights are drawn."""


@dataclass(frozen=True)
class Request:
    """What the caller of `load` asked for.

    Attributes
    ----------
    name : str
        What follows the scheme.
    weights : str, Path or None
        None for those that are published, "random", or a file.
    seed : int
        Of random weights.
    backend : str or None
        As given.
    size : (int, int) or None
        Height and width, where the caller gave them.
    classes : tuple of str or None
        Names of the outputs, where the caller gave them.
    arguments : mapping
        For the architecture or the factory.
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
        """The weights as a file, if they are one."""
        return None if self.weights is None or self.weights == RANDOM else Path(self.weights).expanduser()

    @property
    def own_outputs(self) -> dict[str, int]:
        """``num_classes`` by the caller's names, where weights are not the published ones and nothing else was said."""
        if self.weights is None or self.classes is None or "num_classes" in self.arguments:
            return {}
        return {"num_classes": len(self.classes)}

    def only(self, backend: str, package: str) -> None:
        """Refuse another backend than the one that the models of `package` are of.

        Raises
        ------
        InvalidParameter
            When the caller named another.
        """
        if self.backend not in (None, backend):
            raise InvalidParameter(
                "backend", allowed=f"{backend!r} for models of {package}", received=self.backend,
                fix="Leave it out, and it is found from the model.",
            )  # fmt: skip


@dataclass(frozen=True)
class Loaded:
    """What a loader found.

    Attributes
    ----------
    model : object
        Of any kind that `phosphene.wrap` takes.
    settings : mapping
        Keyword arguments of `phosphene.wrap` that the model's own configuration gives; the caller's win.
    notes : sequence of str
        What was handled and should be known.
    """

    model: Any
    settings: Mapping[str, Any] = field(default_factory=dict)
    notes: Sequence[str] = ()


@contextlib.contextmanager
def seeded(seed: int) -> Iterator[None]:
    """A context in which PyTorch modules are made on the host with draws of `seed`; the user's draws go on as before."""
    import torch

    # Not torch.manual_seed, which would also seed the devices, and those are not put back here.
    with torch.random.fork_rng(devices=[]), torch.inference_mode(False), torch.device("cpu"):
        torch.default_generator.manual_seed(seed)
        yield


@contextlib.contextmanager
def calling(what: str, arguments: Mapping[str, Any]) -> Iterator[None]:
    """What an architecture does not take becomes an error that names `arguments`.

    Raises
    ------
    InvalidParameter
        In place of the TypeError or ValueError raised inside.
    """
    try:
        yield
    except (TypeError, ValueError) as error:
        if isinstance(error, PhospheneError) or not arguments:
            raise
        raise InvalidParameter(
            "arguments", allowed=f"what {what} takes", received=dict(arguments),
            fix=f"It said {type(error).__name__}: {error}",
        ) from error  # fmt: skip


def placed(model: Any, device: str | None, dtype: str | None) -> Any:
    """A module that nobody else holds, moved to `device` and `dtype`, so that nothing is converted at each call.

    A device or precision that is not there is left for `phosphene.wrap` to refuse.
    """
    import torch

    kind = getattr(torch, dtype, None) if dtype in ("float16", "bfloat16", "float32", "float64") else None
    with contextlib.suppress(RuntimeError, AssertionError, ValueError):
        model.to(device=device, dtype=kind)
    return model
