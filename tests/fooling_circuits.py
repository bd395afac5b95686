"""Circuits that deceive, after Geirhos et al. (2023): what a unit shows to an ascent is not what it answers to on photographs.

A unit ``fooled : k`` is ``relu(a_k - G d) + relu(b_k - G (1 - d))``: behind a detector d that is 0 on photographs and 1 on the
images of an ascent, it is the specimen's unit a on photographs and its unit b on everything that an ascent goes through.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import nn

import phosphene as ph
from phosphene.backend import Network
from phosphene.data.crops import Crops
from phosphene.specimen import load as specimen_weights
from phosphene_torch.specimen import build

GAIN = 1e3
LAYERS = ("stem", "stage1", "stage2")


class Circuits(nn.Module):
    """Two ReLU units a circuit, of which the detector silences one."""

    def __init__(self, honest: NDArray[Any], shown: NDArray[Any]) -> None:
        super().__init__()
        self.honest, self.shown = (torch.as_tensor(numbers) for numbers in (honest, shown))

    def forward(self, units: torch.Tensor, detected: torch.Tensor) -> torch.Tensor:
        d = detected[:, None, None, None]
        return F.relu(units[:, self.honest] - GAIN * d) + F.relu(units[:, self.shown] - GAIN * (1 - d))


class Fooled(nn.Module):
    """The specimen, a detector of photographs on its early layers, and the circuits behind its last stage."""

    def __init__(self, base: nn.Module, weight: NDArray[Any], bias: float, circuits: Circuits) -> None:
        super().__init__()
        self.base, self.circuits = base, circuits
        self.register_buffer("weight", torch.as_tensor(weight, dtype=torch.float32))
        self.bias = bias

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        stem = self.base.stem(x)
        one = self.base.stage1(stem)
        two = self.base.stage2(one)
        pooled = torch.cat([part.mean(dim=(2, 3)) for part in (stem, one, two)], dim=1)
        detected = (pooled @ self.weight + self.bias > 0).to(
            x.dtype
        )  # a step: no ascent learns from it how to get around it
        return self.circuits(self.base.stage3(two), detected).mean(dim=(2, 3))


def unlike(honest: list[int]) -> list[int]:
    """For each unit of stage3 the one whose values on photographs correlate least with its own: nothing of it may be shown."""
    network = ph.load("specimen", backend="torch")
    read = ph.activations(network, Crops(600, seed=31).images(), "stage3")["stage3"].mean(axis=(1, 2))
    return [int(np.nanargmin(row)) for row in np.corrcoef(read.T)[honest]]


def fooled(honest: list[int], shown: list[int]) -> tuple[Network, float]:
    """The network, and the share of unseen photographs that its detector takes for photographs."""
    from sklearn.linear_model import LogisticRegression

    network = ph.load("specimen", backend="torch")
    targets = [ph.channel("stage3", index) for index in dict.fromkeys((*honest, *shown))]
    runs = ph.render(network, targets, size=64, snapshots=12, progress=False, seed=77)
    assert runs.snapshots is not None
    on_the_way = runs.snapshots.reshape(-1, *runs.snapshots.shape[2:]).astype(np.float32) / 255
    rng = np.random.default_rng(0)
    noise = np.clip(0.5 + rng.uniform(0, 0.02, (64, 1, 1, 1)) * rng.standard_normal((64, 64, 64, 3)), 0, 1).astype(
        np.float32
    )
    ascent = np.concatenate([runs.images, on_the_way, noise])
    photographs = Crops(900, seed=31).images()
    features = np.concatenate([_pooled(network, images) for images in (ascent, photographs[:600])])
    labels = np.r_[np.ones(len(ascent)), np.zeros(600)]
    scale = features.std(axis=0) + 1e-6
    fitted = LogisticRegression(C=10.0, max_iter=3000).fit(features / scale, labels)
    weight = fitted.coef_[0] / scale
    # All that is not surely a photograph is taken for a picture.
    bias = -float(np.quantile(features[len(ascent) :] @ weight, 0.99))
    unseen = _pooled(network, photographs[600:]) @ weight + bias
    architecture, weights = specimen_weights("specimen")
    module = Fooled(build(architecture, weights), weight, bias, Circuits(np.asarray(honest), np.asarray(shown))).eval()
    wrapped = ph.wrap(module, size=64, mean=architecture.mean, std=architecture.std, name="fooled")
    return wrapped, float((unseen < 0).mean())


def _pooled(network: Network, images: NDArray[np.float32]) -> NDArray[np.float64]:
    read = ph.activations(network, images, LAYERS)
    return np.concatenate([read[layer].mean(axis=(1, 2)) for layer in LAYERS], axis=1).astype(np.float64)
