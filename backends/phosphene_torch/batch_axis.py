"""Determine which activations have a leading batch axis, and which fold windows of an image into it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import torch
from torch import nn

from phosphene.errors import PhospheneError
from phosphene.layers import OUTPUT
from phosphene_torch.attention import AttentionMode, Key
from phosphene_torch.hooks import returning, running
from phosphene_torch.outputs import main_tensor

__all__ = ["Candidate", "Run", "in_batches"]

Run: TypeAlias = Callable[[int, Callable[[torch.Tensor], None]], tuple[Any, torch.Tensor | None]]
"""``(count, seen) -> (returned, output)``: runs a model on a grey image (count 1), or on noise and a grey image (count 2).
``seen`` is called with the input tensor (N, C, H, W)."""


@dataclass
class Candidate:
    """An activation that may be a layer.

    Attributes
    ----------
    name, path : str
        Paths of the layer, with the number of the call, and of the module.
    kind : str
        Class name of the module.
    shape : tuple of int
        Shape for one image, in the module's layout.
    axis : int
        Channel axis, counted from the left.
    guessed : bool, default False
        Whether the channel axis is a guess.
    value : torch.Tensor, optional
        Value for one image, if its first axis is longer than 1.
    key : Key, optional
        For an attention map, the call that computes it.
    stack : tuple of str, default ()
        For an attention map, the modules that were running.
    weighs : bool, default True
        For an attention map, whether it is multiplied with values.
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
    """Return which candidates have a leading batch axis, from a pass over noise and the image of the first pass."""
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
        with returning(model, module), running(model) as stack, AttentionMode(stack, by_key.__contains__, attention):
            _, output = run(2, lambda images: None)
            if OUTPUT in by_name and output is not None:
                verdicts[OUTPUT] = _batched(by_name[OUTPUT], output)
    except PhospheneError:
        raise
    except Exception:  # noqa: BLE001  (a model that takes only one image can be read, but has no windows)
        return {candidate.name: candidate.shape[0] == 1 for candidate in candidates}
    return verdicts


def _batched(candidate: Candidate, both: torch.Tensor) -> bool:
    count = candidate.shape[0]
    if tuple(both.shape) != (2 * count, *candidate.shape[1:]):
        return False
    if candidate.value is None or not both.numel():
        return count == 1
    alone, other, again = candidate.value.float(), both[:count].float(), both[count:].float()
    # Relative to the difference between the images: rounding differs by far less, and another order of rows by as much.
    apart, wrong = float((other - alone).abs().max()), float((again - alone).abs().max())
    return wrong <= 0.25 * apart + 1e-6 * float(alone.abs().max())
