"""Determine the batch axis of activations, and which of them fold windows of an image into it."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeAlias

import torch
from torch import nn

from phosphene.errors import PhospheneError
from phosphene.layers import OUTPUT
from phosphene_torch.attention import AttentionMode, Key
from phosphene_torch.hooks import returning, running
from phosphene_torch.outputs import Keys, main_tensor, part_at
from phosphene_torch.samples import Compared, sample

__all__ = ["NO_ROWS", "Batches", "Candidate", "Pass", "Run", "Verdict", "halves", "in_batches", "visited"]


@dataclass(frozen=True)
class Pass:
    """One run of a model on a grey image, which noise images precede.

    Attributes
    ----------
    count : int, default 1
        Number of images; the grey one is the last.
    seed : int, default 0
        Seed of the random numbers that the model draws.
    noise : int, default 0
        Seed of the noise images.
    """

    count: int = 1
    seed: int = 0
    noise: int = 0


Run: TypeAlias = Callable[[Pass, Callable[[torch.Tensor], None]], tuple[Any, torch.Tensor | None]]
"""``(pass, seen) -> (returned, output)``: runs a model. ``seen`` is called with the input tensor (N, C, H, W)."""

Verdict: TypeAlias = int | str
"""The batch axis of an activation, or the reason for which it cannot be read."""

NO_ROWS = "has no axis with one entry per image"
UNORDERED = "holds several rows per image, in an order that is not known"
ALONE = "holds several rows for one image, and the model does not take two"


@dataclass
class Candidate:
    """An activation that may be a layer.

    Attributes
    ----------
    name, path : str
        Paths of the layer, with the number of the call and the part of the return value, and of the module.
    kind : str
        Class name of the module.
    shape : tuple of int
        Shape for one image, in the module's layout.
    axis : int
        Channel axis, counted from the left.
    guessed : bool, default False
        Whether the channel axis is a guess.
    call : str, default ""
        Path of the module with the number of the call.
    keys : tuple, default ()
        Where the activation is in the return value; ``()`` for the main tensor.
    part : str, default ""
        How the main tensor is written as a part of the return value.
    value : torch.Tensor, optional
        Value for one image, if its first axis is longer than 1.
    sample : torch.Tensor, optional
        A few of its values for one image.
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
    call: str = ""
    keys: Keys = ()
    part: str = ""
    value: torch.Tensor | None = None
    sample: torch.Tensor | None = None
    key: Key | None = None
    stack: tuple[str, ...] = ()
    weighs: bool = True


@dataclass
class Batches:
    """What a pass over two images tells.

    Attributes
    ----------
    verdicts : dict of str to Verdict
        By name of the activation.
    compared : Compared
        Values of the grey image alone, and behind another image.
    alone : Exception, optional
        What the model raised on two images.
    """

    verdicts: dict[str, Verdict]
    compared: Compared = field(default_factory=Compared)
    alone: Exception | None = None


def in_batches(model: nn.Module, run: Run, candidates: Sequence[Candidate]) -> Batches:
    """Find the batch axis of each candidate, by a pass over noise and the image of the first pass."""
    found = Batches(dict.fromkeys((candidate.name for candidate in candidates), NO_ROWS))

    def take(candidate: Candidate, both: torch.Tensor) -> None:
        verdict = found.verdicts[candidate.name] = _batch_axis(candidate, both)
        if isinstance(verdict, int):
            found.compared.add(candidate.name, candidate.sample, *halves(both, verdict))

    try:
        visited(model, run, Pass(2), candidates, take)
    except PhospheneError:
        raise
    except Exception as error:  # noqa: BLE001  (a model that takes only one image can be read, but has no windows)
        found.alone = error
        found.verdicts = {
            candidate.name: 0 if candidate.shape[0] == 1 and len(candidate.shape) > 1 else ALONE
            for candidate in candidates
        }
    return found


def halves(both: torch.Tensor, axis: int) -> Iterator[torch.Tensor | None]:
    """Yield samples of the last and of the first image of two."""
    count = both.shape[axis] // 2
    yield sample(both, axis, count, count)
    yield sample(both, axis, 0, count)


def visited(
    model: nn.Module,
    run: Run,
    probe: Pass,
    candidates: Sequence[Candidate],
    take: Callable[[Candidate, torch.Tensor], None],
) -> None:
    """Run a model, and call `take` with each candidate and its value."""
    by_call: dict[str, list[Candidate]] = {}
    for candidate in candidates:
        by_call.setdefault(candidate.call, []).append(candidate)
    by_key = {candidate.key: candidate for candidate in candidates if candidate.key is not None}

    def module(name: str, path: str, module: nn.Module, inputs: Any, output: Any) -> None:
        for candidate in by_call.get(name, ()) if name != OUTPUT else ():
            tensor = part_at(output, candidate.keys) if candidate.keys else main_tensor(output)
            if tensor is not None:
                take(candidate, tensor)

    def attention(key: Key, weights: torch.Tensor) -> torch.Tensor:
        take(by_key[key], weights)
        return weights

    with returning(model, module), contextlib.ExitStack() as contexts:
        if by_key:
            stack = contexts.enter_context(running(model))
            contexts.enter_context(AttentionMode(stack, by_key.__contains__, attention))
        returned, output = run(probe, lambda images: None)
        for candidate in by_call.get(OUTPUT, ()):
            tensor = part_at(returned, candidate.keys) if candidate.keys else output
            if tensor is not None:
                take(candidate, tensor)


def _batch_axis(candidate: Candidate, both: torch.Tensor) -> Verdict:
    one, two = candidate.shape, tuple(both.shape)
    if len(one) != len(two):
        return NO_ROWS
    longer = [axis for axis, (side, other) in enumerate(zip(one, two, strict=True)) if side != other]
    if len(longer) != 1 or two[longer[0]] != 2 * one[longer[0]]:
        return NO_ROWS
    (axis,) = longer
    if axis == 0 and one[0] > 1:
        return 0 if _in_order(candidate, both) else UNORDERED
    return axis if one[axis] == 1 else UNORDERED


def _in_order(candidate: Candidate, both: torch.Tensor) -> bool:
    count = candidate.shape[0]
    if candidate.value is None or not both.numel():
        return False
    alone, other, again = candidate.value.float(), both[:count].float(), both[count:].float()
    # Relative to the difference between the images: rounding differs by far less, and another order of rows by as much.
    apart, wrong = float((other - alone).abs().max()), float((again - alone).abs().max())
    return wrong <= 0.25 * apart + 1e-6 * float(alone.abs().max())
