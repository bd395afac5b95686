"""What the activations of an image depend on beside the image: other images of its batch, and random numbers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import nn

from phosphene_torch.batch_axis import Batches, Candidate, Pass, Run, halves, visited
from phosphene_torch.samples import Compared, sample

__all__ = ["Dependence", "dependence"]

TRIES = 4
"""Largest number of seeds that are tried on a model that draws random numbers: a mask may agree with another by chance."""


@dataclass(frozen=True)
class Dependence:
    """The layers that depend on more than their image, in forward order.

    Attributes
    ----------
    batch : tuple of str, default ()
        Layers whose values depend on the other images of the batch.
    draws : tuple of str, default ()
        Layers whose values depend on random numbers.
    seeded : bool, default True
        Whether two runs from one seed agree.
    """

    batch: tuple[str, ...] = ()
    draws: tuple[str, ...] = ()
    seeded: bool = True


def dependence(
    model: nn.Module, run: Run, candidates: Sequence[Candidate], batches: Batches, *, drawn: bool
) -> Dependence:
    """Compare the values of one image in several passes; most models need none beside the two that were made.

    A normalisation with the statistics of its batch makes an image depend on the one beside it, whatever the seed; a dropout
    makes it depend on the seed, whatever is beside it.

    Parameters
    ----------
    model : nn.Module
    run : Run
        Runs the model.
    candidates : sequence of Candidate
        With samples of the first pass.
    batches : Batches
        Of the second pass.
    drawn : bool
        Whether random numbers were drawn in the first pass.
    """
    if not drawn and not batches.compared.changed():
        return Dependence()
    draws = _changed(model, run, candidates, batches, Pass())
    seeded = not draws
    for seed in range(1, TRIES + 1):
        if draws or not drawn:
            break
        draws = _changed(model, run, candidates, batches, Pass(seed=seed))
    batch = _changed(model, run, candidates, batches, Pass(2, noise=1)) if seeded and batches.alone is None else []
    return Dependence(tuple(batch), tuple(draws), seeded)


def _changed(model: nn.Module, run: Run, candidates: Sequence[Candidate], batches: Batches, probe: Pass) -> list[str]:
    """Return the names of the candidates that differ in another pass from the first, or from the second if it has two images."""
    earlier = batches.compared
    found = Compared()

    def take(candidate: Candidate, value: torch.Tensor) -> None:
        name = candidate.name
        if probe.count == 1:
            one = candidate.sample
            found.add(name, one, sample(value), earlier.other.get(name, one))
            return
        axis = batches.verdicts[name]
        if name in earlier.two and isinstance(axis, int):
            again, _ = halves(value, axis)
            found.add(name, earlier.two[name], again, earlier.other[name])

    visited(model, run, probe, candidates, take)
    return found.changed()
