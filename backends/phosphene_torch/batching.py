"""Which activations have the batch in front, and which have windows of one image folded into it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import torch
from torch import nn

from phosphene.errors import PhospheneError
from phosphene.layers import OUTPUT
from phosphene_torch.attention import Attending, Key
from phosphene_torch.hooking import returning, running
from phosphene_torch.outputs import main_tensor

__all__ = ["Candidate", "Run", "in_batches"]

Run: TypeAlias = Callable[[int, Callable[[torch.Tensor], None]], tuple[Any, torch.Tensor | None]]
"""Runs a model on one grey image, or on noise and a grey image. Hands the tensor that goes in (N, C, H, W) to its second
argument; returns what the model returned, and its output."""


@dataclass
class Candidate:
    """An activation that may be a layer.

    Attributes
    ----------
    name, path : str
        Of the layer, with the number of the call, and of the module.
    kind : str
        Of the module.
    shape : tuple of int
        In the module's own layout, for one image.
    axis : int
        Of the channels, from the left.
    guessed : bool
        Whether that could not be told.
    value : torch.Tensor, optional
        For one image, where more than one row of it is of that image.
    key : Key, optional
        For an attention map, the call that makes it.
    stack : tuple of str
        For an attention map, the modules that were running then.
    weighs : bool
        Whether values are weighed by it.
    """

    name: str
    path: str
    kind: str
    shape: tuple[int, ...]
    axis: int
    guessed: bool = False
    value: torch.Tensor | None = None
    key: Key | None = None
    stack: tuple[str, ...] = ()
    weighs: bool = True


def in_batches(model: nn.Module, run: Run, candidates: Sequence[Candidate]) -> dict[str, bool]:
    """Which activations have the batch in front, as told by a pass over noise and the image of the first pass."""
    by_name = {candidate.name: candidate for candidate in candidates}
    by_key = {candidate.key: candidate for candidate in candidates if candidate.key is not None}
    verdicts = dict.fromkeys(by_name, False)

    def module(name: str, path: str, module: nn.Module, inputs: Any, output: Any) -> None:
        tensor = main_tensor(output)
        if name in by_name and name != OUTPUT and tensor is not None:
            verdicts[name] = _batched(by_name[name], tensor)

    def attention(key: Key, weights: torch.Tensor) -> torch.Tensor:
        verdicts[by_key[key].name] = _batched(by_key[key], weights)
        return weights

    try:
        with returning(model, module), running(model) as stack, Attending(stack, by_key.__contains__, attention):
            _, output = run(2, lambda images: None)
            if OUTPUT in by_name and output is not None:
                verdicts[OUTPUT] = _batched(by_name[OUTPUT], output)
    except PhospheneError:
        raise
    except Exception:  # noqa: BLE001  a model that takes one image at a time can be read, but has no windows
        return {candidate.name: candidate.shape[0] == 1 for candidate in candidates}
    return verdicts


def _batched(candidate: Candidate, both: torch.Tensor) -> bool:
    count = candidate.shape[0]
    if tuple(both.shape) != (2 * count, *candidate.shape[1:]):
        return False
    if candidate.value is None or not both.numel():
        return count == 1
    alone, other, again = candidate.value.float(), both[:count].float(), both[count:].float()
    # Against what the images differ by: what rounds in another order differs by far less, what lies in another by as much.
    apart, wrong = float((other - alone).abs().max()), float((again - alone).abs().max())
    return wrong <= 0.25 * apart + 1e-6 * float(alone.abs().max())
