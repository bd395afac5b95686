"""Networks by name: torchvision and timm, and what is said when there is nothing of that name."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import phosphene as ph
from loading import go_offline, random_states
from phosphene import errors
from pretend_operators import usable


@pytest.fixture
def offline(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> list[str]:
    """No network, and empty caches; the URLs that were asked for."""
    return go_offline(monkeypatch, tmp_path)


def test_torchvision_with_random_weights_is_as_its_published_weights_are() -> None:
    usable("torchvision")
    before = random_states()
    network = ph.load("torchvision:resnet18", weights="random")
    assert random_states() == before
    assert network.input.size == (224, 224)
    assert network.input.mean == (0.485, 0.456, 0.406)
    assert network.classes is not None and len(network.classes) == 1000 and network.classes[1] == "goldfish"
    assert network.name == "resnet18" and not network.model.training  # type: ignore[attr-defined]


def test_what_the_caller_says_wins_over_the_configuration() -> None:
    usable("torchvision")
    network = ph.load(
        "torchvision:resnet18", weights="random", size=(64, 96), classes=["a", "b"], mean=0.5, std=0.25, dtype="float64"
    )
    assert (network.input.size, network.input.mean, network.input.std) == ((64, 96), (0.5,), (0.25,))
    assert network.classes == ("a", "b") and network.layers["output"].shape == (2,)
    assert network.dtype == "float64" and network.weights() is None, "the loader's own model is converted, once"
    assert "layer4" in ph.activations(network, np.zeros((1, 64, 96, 3), np.float32), "layer4")


def test_seeds_draw_the_weights() -> None:
    usable("torchvision")
    options: dict[str, Any] = {"weights": "random", "size": 32, "arguments": {"num_classes": 4}}
    prints = [ph.load("torchvision:squeezenet1_1", seed=seed, **options).fingerprint() for seed in (0, 0, 1)]
    assert prints[0] == prints[1] != prints[2]


def test_a_segmenter_of_torchvision_has_logits_at_every_pixel(offline: list[str]) -> None:
    usable("torchvision")
    network = ph.load("torchvision:lraspp_mobilenet_v3_large", weights="random", size=64)
    assert network.layers["output"].shape == (64, 64, 21) and network.classes is not None
    assert network.classes[8] == "cat" and offline == []


def test_timm_gives_its_configuration_and_fixed_sizes_can_be_changed() -> None:
    usable("timm")
    before = random_states()
    network = ph.load("timm:vit_tiny_patch16_224", weights="random", size=64)
    assert random_states() == before
    assert network.input.size == (64, 64) and network.input.mean == (0.5, 0.5, 0.5)
    assert network.classes is not None and network.classes[1] == "goldfish" and len(network.classes) == 1000
    grey = ph.load("timm:resnet10t", weights="random", size=32, arguments={"in_chans": 1, "num_classes": 3})
    assert grey.input.channels == 1 and grey.classes is None and grey.layers["output"].shape == (3,)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("resnet50", r"'hf:NAME' or 'package.module:factory', got 'resnet50'. .*'torchvision:resnet50'"),
        ("torchvison:resnet18", "Did you mean 'torchvision:'"),
        ("torchvision:resnet81", "Did you mean 'resnet18'"),
        ("torchvision:raft_small", "expected an image classification or segmentation model"),
        ("timm:vit_tiny_patch16_225", "Did you mean 'vit_tiny_patch16_224'"),
        ("timm:vit_tiny_patch16_224.augrag", "Did you mean 'vit_tiny_patch16_224.augreg_in21k'"),
        ("hf:vitt", "Did you mean 'vit'"),
        ("hf:bert", "expected a model that takes only images, got 'hf:bert'"),
        ("hf:./no/such/folder", "There is no such folder"),
    ],
)
def test_unknown_names_are_answered_with_the_nearest(name: str, message: str) -> None:
    if name.partition(":")[0] in ("torchvision", "timm"):
        usable(name.partition(":")[0])
    elif name.startswith("hf:"):
        usable("transformers")
    with pytest.raises(errors.InvalidParameter, match=message):
        ph.load(name, weights="random" if name.startswith("hf:") else None)


def test_parameters_that_do_not_fit_are_named() -> None:
    usable("torchvision")
    with pytest.raises(
        errors.InvalidParameter, match=r"backend: expected 'torch' for models of torchvision, got 'jax'"
    ):
        ph.load("torchvision:resnet18", backend="jax")
    with pytest.raises(
        errors.InvalidParameter, match=r"men: expected an argument of ph.load or one of channels.* Did you mean 'mean'"
    ):
        ph.load("specimen", men=0.5)
    with pytest.raises(errors.InvalidParameter, match=r"weights: expected None, or a .safetensors file"):
        ph.load("specimen", weights="random")
    with pytest.raises(errors.InvalidParameter, match=r"arguments: .*num_clases"):
        ph.load("torchvision:resnet18", weights="random", arguments={"num_clases": 3})
    with pytest.raises(errors.InvalidParameter, match=r"weights: .*'IMAGENET1K_V1' or .*, got 'IMAGENET1K_V9'"):
        ph.load("torchvision:resnet18", weights="IMAGENET1K_V9")
    with pytest.raises(errors.InvalidParameter, match=r"Pass a model to ph.wrap"):
        ph.load(3)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("scheme", "package"), [("torchvision", "torchvision"), ("timm", "timm"), ("hf", "transformers")]
)
def test_a_package_that_is_not_installed_is_named(monkeypatch: pytest.MonkeyPatch, scheme: str, package: str) -> None:
    pytest.importorskip("torch")
    for loaded in [name for name in sys.modules if name.partition(".")[0] == package]:
        monkeypatch.delitem(sys.modules, loaded)
    find = importlib.util.find_spec
    monkeypatch.setattr("importlib.util.find_spec", lambda name, *rest: None if name == package else find(name, *rest))
    with pytest.raises(errors.MissingDependency, match=f"needs {package}, .*not installed.*pip install {package}"):
        ph.load(f"{scheme}:anything")


def test_a_torchvision_that_does_not_fit_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    pytest.importorskip("torch")
    (tmp_path / "torchvision").mkdir()
    (tmp_path / "torchvision" / "__init__.py").write_text(
        'raise RuntimeError("operator torchvision::nms does not exist")'
    )
    monkeypatch.syspath_prepend(tmp_path)
    for loaded in [name for name in sys.modules if name.partition(".")[0] == "torchvision"]:
        monkeypatch.delitem(sys.modules, loaded)
    with pytest.raises(
        errors.MissingDependency, match=r"torchvision does not fit the installed torch .*--upgrade torch torchvision"
    ):
        ph.load("torchvision:resnet18")


@pytest.mark.parametrize(
    ("name", "package", "what", "where"),
    [
        ("torchvision:resnet18", "torchvision", r"resnet18-\w+.pth", r"https://.*resnet18-\w+.pth \(no route"),
        ("timm:test_resnet", "timm", r"timm/test_resnet\S* \(model.safetensors or pytorch_model.bin\)", "https://"),
        ("hf:someone/something", "transformers", r"someone/something \(config.json, weights\)", "https://"),
    ],
)
def test_being_offline_is_said_at_once(
    offline: list[str], tmp_path: Path, name: str, package: str, what: str, where: str
) -> None:
    usable(package)
    message = f"{what} is not on this machine and could not be downloaded from {where}.*cached in {tmp_path}.*weights='random'"
    with pytest.raises(errors.MissingWeights, match=message) as raised:
        ph.load(name)
    assert isinstance(raised.value, OSError) and len(offline) == 1
