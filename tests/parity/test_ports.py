"""Two ports of a residual network and of a vision transformer: equal at every layer, and a planted fault is found."""

from __future__ import annotations

import functools
import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("torch")
pytest.importorskip("flax")

import phosphene as ph
from phosphene.backend import Network
from phosphene.data import Crops
from phosphene.port_parity import Parity, parity
from ports import BLOCKS, RESNET_SIZE, VIT_SIZE, resnets, vits

MODELS: dict[str, tuple[Callable[[], tuple[Any, Any]], int]] = {
    "resnet": (resnets, RESNET_SIZE),
    "vit": (vits, VIT_SIZE),
}


def wrap(model: Any, size: int) -> Network:
    return ph.wrap(model, size=size, mean=(0.485, 0.456, 0.406), std=(0.229, 0.224, 0.225))


def compared(name: str, break_port: Callable[[Any], None] | None = None, **options: Any) -> Parity:
    make, size = MODELS[name]
    ours, theirs = make()
    if break_port is not None:
        break_port(theirs)
    return parity(wrap(ours, size), wrap(theirs, size), Crops(4, seed=4, size=size).images(), **options)


@functools.cache
def as_they_are(name: str) -> Parity:
    return compared(name)


@pytest.mark.parametrize(("name", "layers"), [("resnet", 41), ("vit", 23)])
def test_ports_agree_at_every_layer_and_in_their_gradients(name: str, layers: int, tmp_path: Path) -> None:
    found = as_they_are(name)
    modules = [row for row in found.rows if "@" not in row.a]  # without the values inside a module that have names
    assert len(modules) == layers and found.equal and found.faults == () and found.parted is None
    assert max(row.relative for row in found.rows) <= 1e-5
    assert min(row.cosine for row in found.rows) >= 1 - 1e-9
    slopes = [row.gradient for row in found.rows if row.gradient is not None]
    assert len(slopes) == 9 and found.row("output").gradient is not None and max(slopes) <= 1e-5
    said = json.loads(found.save(tmp_path / "parity.json").read_text())
    assert said["verdict"].startswith(f"equal at all {len(found.rows)} matched layers: largest difference ")
    assert [network["backend"] for network in said["networks"]] == ["torch", "jax"]


def test_every_layer_of_the_residual_network_finds_its_own_partner() -> None:
    found = as_they_are("resnet")
    names = {
        "conv1": "reduce",
        "bn1": "reduce_norm",
        "conv2": "conv",
        "bn2": "conv_norm",
        "conv3": "expand",
        "bn3": "expand_norm",
        "downsample.0": "shortcut",
        "downsample.1": "shortcut_norm",
    }
    expected = {"conv1": "stem", "bn1": "stem_norm", "fc": "head", "output": "output"}
    for stage in range(3):
        expected[f"layer{stage + 1}"] = f"stages.{stage}"
        for block in range(BLOCKS[stage]):
            expected[f"layer{stage + 1}.{block}"] = f"stages.{stage}.blocks.{block}"
            for ours, theirs in names.items():
                if block == 0 or "downsample" not in ours:
                    expected[f"layer{stage + 1}.{block}.{ours}"] = f"stages.{stage}.blocks.{block}.{theirs}"
    assert {row.a: row.b for row in found.rows} == expected
    # flax has functions where PyTorch has these modules, and the sum of a short cut is nowhere named twice.
    left = {item.path.split(".")[-1].partition("#")[0] for item in found.unmatched}
    assert left == {"relu", "maxpool", "downsample", "avgpool"} and {item.network for item in found.unmatched} == {"a"}


@dataclass(frozen=True)
class Planted:
    """A fault in the JAX port, and the layer of the PyTorch port at which it has to be found."""

    model: str
    layer: str
    plant: Callable[[Any], None]


def transposed(variable: Any, first: int, second: int) -> None:
    variable[...] = variable[...].swapaxes(first, second)


def epsilon(norm: Any) -> None:
    norm.epsilon = 1e-3


def heads_transposed(port: Any) -> None:
    kernel = port.blocks[1].attn.value.kernel
    width, *split = kernel[...].shape
    kernel[...] = kernel[...].reshape(width, width).T.reshape(width, *split)


FAULTS = {
    "stem kernel with its rows and columns swapped": Planted(
        "resnet", "conv1", lambda m: transposed(m.stem.kernel, 0, 1)
    ),
    "inner kernel with its rows and columns swapped": Planted(
        "resnet", "layer2.0.conv2", lambda m: transposed(m.stages[1].blocks[0].conv.kernel, 0, 1)
    ),
    "epsilon of a batch normalisation": Planted(
        "resnet", "layer1.1.bn2", lambda m: epsilon(m.stages[0].blocks[1].conv_norm)
    ),
    "epsilon in a short cut that is computed earlier": Planted(
        "resnet", "layer3.0.downsample.1", lambda m: epsilon(m.stages[2].blocks[0].shortcut_norm)
    ),
    "patches with rows and columns swapped": Planted("vit", "patch", lambda m: transposed(m.patch.kernel, 0, 1)),
    "square linear kernel transposed": Planted("vit", "pre_logits", lambda m: transposed(m.pre_logits.kernel, 0, 1)),
    "square kernel inside attention transposed": Planted("vit", "blocks.1.attn", heads_transposed),
    "epsilon of a layer normalisation": Planted("vit", "blocks.1.norm2", lambda m: epsilon(m.blocks[1].norm2)),
}


SLOW = ("stem kernel", "epsilon in a short cut", "patches")


@pytest.mark.parametrize(
    "planted",
    [
        pytest.param(planted, id=name, marks=pytest.mark.slow if name.startswith(SLOW) else ())
        for name, planted in FAULTS.items()
    ],
)
def test_a_planted_fault_is_the_one_that_is_named(planted: Planted) -> None:
    found = compared(planted.model, planted.plant, gradients=0)
    said = found.certificate()
    assert [fault["layer"] for fault in said["faults"]] == [planted.layer] and said["parted"] == planted.layer
    assert said["verdict"].startswith(f"differ first at {planted.layer} (") and not said["equal"]
    after = [row for row in found.rows if not row.equal and row.a != planted.layer]
    assert after and all(row.follows == planted.layer for row in after)
    assert all(row.own is not None and row.own <= 1e-5 for row in found.rows if row.a != planted.layer)


def test_layers_without_a_partner_in_which_the_fault_may_lie_are_named() -> None:
    fault = compared("vit", heads_transposed, gradients=0).certificate()["faults"][0]
    assert fault["unmatched_before"] == [f"blocks.1.attn.{name}" for name in ("query", "key", "value", "out")]


def test_one_fault_in_every_normalisation_is_found_in_one_look() -> None:
    def everywhere(port: Any) -> None:
        for block in port.blocks:
            epsilon(block.norm1), epsilon(block.norm2)
        epsilon(port.norm)

    found = compared("vit", everywhere, gradients=0)
    assert found.faults == (*(f"blocks.{block}.norm{index}" for block in range(3) for index in (1, 2)), "norm")
    assert np.isfinite([row.own for row in found.rows]).all()
