"""Weights from files: read without running anything in them, and all of them or none."""

from __future__ import annotations

import os
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import phosphene as ph
from loading import go_offline, in_hub_cache
from phosphene import errors
from pretend_operators import usable

torch = pytest.importorskip("torch")

FACTORY = """
import torch
def build():
    return torch.nn.Sequential(torch.nn.Conv2d(3, 4, 3), torch.nn.BatchNorm2d(4)).eval()
kept = build()
def keep():
    return kept
"""
JAX_FACTORY = """
from flax import nnx
import jax
import jax.numpy as jnp
class Model(nnx.Module):
    def __init__(self, rngs):
        self.conv = nnx.Conv(3, 4, (3, 3), rngs=rngs)
        self.norm = nnx.BatchNorm(4, rngs=rngs)
        self.drop = nnx.Dropout(0.5, rngs=rngs)
    def __call__(self, x):
        return jnp.mean(self.drop(self.norm(self.conv(x))), axis=(1, 2))
def build():
    model = Model(nnx.Rngs(0))
    model.eval()
    return model
def pair():
    return (lambda p, x: x.mean((1, 2)) @ p["head"]["kernel"]), {"head": {"kernel": jnp.ones((3, 2))}}
def function():
    return lambda x: x.mean((1, 2))
"""


class Bomb:
    """Makes a folder when it is unpickled."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def __reduce__(self) -> Any:
        return os.mkdir, (str(self.folder),)


@pytest.fixture(autouse=True)
def factories(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delitem(__import__("sys").modules, "weighed", raising=False)
    monkeypatch.delitem(__import__("sys").modules, "weighed_jax", raising=False)
    Path("weighed.py").write_text(FACTORY)
    Path("weighed_jax.py").write_text(JAX_FACTORY)


def weights(offset: float = 0.0) -> dict[str, Any]:
    """A state dict for the factory."""
    return {
        "0.weight": torch.arange(108.0).reshape(4, 3, 3, 3) / 100 + offset,
        "0.bias": torch.zeros(4),
        "1.weight": torch.ones(4),
        "1.bias": torch.zeros(4),
        "1.running_mean": torch.zeros(4),
        "1.running_var": torch.ones(4),
    }


def first(network: Any) -> Any:
    return network.model[0].weight.detach().numpy()


def load(path: str | Path) -> Any:
    return ph.load("weighed:build", size=8, weights=path)


@pytest.mark.parametrize("ending", [".safetensors", ".pt", ".pth", ".bin"])
def test_a_file_of_each_kind_is_read(ending: str) -> None:
    from safetensors.torch import save_file

    path = Path(f"w{ending}")
    save_file(weights(), path) if ending == ".safetensors" else torch.save(weights(), path)
    np.testing.assert_array_equal(first(load(path)), weights()["0.weight"].numpy())


@pytest.mark.parametrize(
    ("wrapped", "said"),
    [
        (
            lambda w: {"state_dict": w, "epoch": 3, "optimizer": {"lr": 0.1}},
            "read from its entry 'state_dict', next to 'epoch', 'optimizer'",
        ),
        (lambda w: {"model": w}, "read from its entry 'model'"),
        (
            lambda w: {f"module.{key}": value for key, value in w.items()},
            "the prefix 'module.' was removed from the keys of w.pt",
        ),
    ],
)
def test_what_training_scripts_put_around_weights_is_taken_off_and_said(wrapped: Any, said: str) -> None:
    torch.save(wrapped(weights()), "w.pt")
    with pytest.warns(errors.ModelWarning, match=said):
        network = load("w.pt")
    np.testing.assert_array_equal(first(network), weights()["0.weight"].numpy())


@pytest.mark.parametrize("wrapping", ["alone", "among weights", "plain pickle", "whole module"])
def test_nothing_is_ever_unpickled(tmp_path: Path, wrapping: str) -> None:
    flag, path = tmp_path / "flag", tmp_path / "w.pt"
    bomb: Any = Bomb(flag)
    if wrapping == "plain pickle":
        path.write_bytes(pickle.dumps({"0.weight": bomb}))
    else:
        module = torch.nn.Sequential()
        module.bomb = bomb
        torch.save(
            {"alone": bomb, "among weights": {**weights(), "bomb": bomb}, "whole module": module}[wrapping], path
        )
    with pytest.raises(errors.CorruptWeights, match=r"nothing of it was run") as raised:
        load(path)
    if wrapping != "plain pickle":
        assert "mkdir" in str(raised.value) and "safetensors.torch.save_file" in str(raised.value)
    assert not flag.exists()
    pickle.loads(pickle.dumps(bomb))
    assert flag.exists(), "the bomb was none"


def test_the_cache_of_torchvision_is_not_unpickled_either(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    torchvision = usable("torchvision")
    go_offline(monkeypatch, tmp_path)
    published = torchvision.models.SqueezeNet1_1_Weights.DEFAULT
    place = tmp_path / "torch" / "hub" / "checkpoints" / published.url.rpartition("/")[2]
    place.parent.mkdir(parents=True)
    model = torchvision.models.squeezenet1_1(weights=None)
    torch.save(model.state_dict(), place)
    network = ph.load("torchvision:squeezenet1_1", size=64)
    np.testing.assert_array_equal(first_parameter(network.model), first_parameter(model))  # type: ignore[attr-defined]
    torch.save({"x": Bomb(tmp_path / "flag")}, place)
    with pytest.raises(errors.CorruptWeights, match=r"nothing of it was run"):
        ph.load("torchvision:squeezenet1_1")
    place.write_bytes(b"half")
    with pytest.raises(errors.CorruptWeights, match=r"squeezenet1_1-\w+.pth': cannot be read|not a PyTorch state dict"):
        ph.load("torchvision:squeezenet1_1")
    assert not (tmp_path / "flag").exists()


def test_published_weights_of_timm_come_from_the_cache_of_the_hub(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    timm = usable("timm")
    from safetensors.torch import save_file

    asked = go_offline(monkeypatch, tmp_path)
    model = timm.create_model("test_resnet")
    repository = timm.get_pretrained_cfg("test_resnet").hf_hub_id
    save_file(model.state_dict(), in_hub_cache(tmp_path, repository) / "model.safetensors")
    network = ph.load("timm:test_resnet", size=32)
    np.testing.assert_array_equal(first_parameter(network.model), first_parameter(model))  # type: ignore[attr-defined]
    assert asked == [] and network.classes is not None and network.classes[1] == "goldfish"


def test_a_file_is_given_to_an_architecture_of_each_package(tmp_path: Path) -> None:
    usable("torchvision"), usable("timm")
    for name in ("torchvision:squeezenet1_1", "timm:test_resnet"):
        options: dict[str, Any] = {"size": 64, "classes": ["a", "b"]}
        drawn = ph.load(name, weights="random", seed=3, **options)
        torch.save(drawn.model.state_dict(), "w.pt")  # type: ignore[attr-defined]
        assert ph.load(name, weights="w.pt", **options).fingerprint() == drawn.fingerprint()
        with pytest.raises(errors.CorruptWeights, match=r"2 of another shape: .* has shape \(2,.*num_classes"):
            ph.load(name, weights="w.pt", size=64)


def test_a_file_in_older_names_is_given_to_a_model_of_transformers(tmp_path: Path) -> None:
    transformers = usable("transformers")
    small = {"hidden_size": 8, "num_hidden_layers": 1, "num_attention_heads": 2, "image_size": 16, "patch_size": 8}
    model = transformers.ViTForImageClassification(transformers.ViTConfig(**small))
    model.save_pretrained(tmp_path / "saved")
    options: dict[str, Any] = {"size": 16, "arguments": small}
    with pytest.warns(errors.ModelWarning, match=r"the usual preprocessing of 'vit' is assumed"):
        network = ph.load("hf:vit", weights=tmp_path / "saved" / "model.safetensors", **options)
    np.testing.assert_array_equal(network.model.classifier.weight.detach(), model.classifier.weight.detach())  # type: ignore[attr-defined]
    torch.save({"classifier.bias": torch.zeros(7), "extra": torch.zeros(1)}, "w.pt")
    with pytest.raises(
        errors.CorruptWeights, match=r"missing: .*1 unexpected: extra; 1 of another shape: classifier.bias"
    ):
        ph.load("hf:vit", weights="w.pt", **options)


def first_parameter(model: Any) -> Any:
    return next(model.parameters()).detach().numpy()


def test_what_does_not_fit_is_named_and_changes_nothing() -> None:
    before = first(ph.load("weighed:keep", size=8)).copy()
    wrong = {**weights(1.0), "0.bias": torch.zeros(5), "2.weight": torch.zeros(1)}
    del wrong["1.weight"]
    torch.save(wrong, "w.pt")
    said = (
        r"1 missing: 1.weight; 1 unexpected: 2.weight; 1 of another shape: "
        r"0.bias has shape \(5,\) in the file and \(4,\) in the model"
    )
    with pytest.raises(errors.CorruptWeights, match=said):
        ph.load("weighed:keep", size=8, weights="w.pt")
    torch.save({**weights(1.0), "0.bias": torch.full((4,), torch.nan)}, "w.pt")
    with pytest.raises(errors.CorruptWeights, match=r"0.bias contains NaN"):
        ph.load("weighed:keep", size=8, weights="w.pt")
    np.testing.assert_array_equal(first(ph.load("weighed:keep", size=8)), before)
    torch.save({f"layer{index}": torch.zeros(1) for index in range(9)}, "w.pt")
    with pytest.raises(errors.CorruptWeights, match=r"9 unexpected: layer0, layer1, layer2, layer3 and 5 more"):
        load("w.pt")


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("w.pt", b"", r"cannot be read"),
        ("w.pt", b"\0" * 100, r"is damaged, or not a PyTorch state dict"),
        ("w.safetensors", b"\0" * 100, r"cannot be read"),
        ("w.safetensors", b"", r"cannot be read"),
    ],
)
def test_a_damaged_file_is_named(name: str, content: bytes, message: str) -> None:
    Path(name).write_bytes(content)
    with pytest.raises(errors.CorruptWeights, match=message):
        load(name)


def test_a_file_that_was_cut_off_is_named() -> None:
    torch.save(weights(), "w.pt")
    Path("w.pt").write_bytes(Path("w.pt").read_bytes()[:1000])
    with pytest.raises(errors.CorruptWeights, match=r"w.pt': cannot be read"):
        load("w.pt")


def test_what_is_no_weights_file_is_refused() -> None:
    torch.save([1, 2], "w.pt")
    with pytest.raises(errors.CorruptWeights, match=r"contains list, not a state dict"):
        load("w.pt")
    torch.save({"epoch": 3}, "w.pt")
    with pytest.raises(errors.CorruptWeights, match=r"contains 'epoch' \(int\), not arrays"):
        load("w.pt")
    with pytest.raises(
        errors.InvalidParameter, match=r"weights: .*ends in .safetensors or .pt.* There is no such file"
    ):
        load("absent.pt")
    with pytest.raises(errors.InvalidParameter, match=r"got 'w.pkl'. Load it into the model yourself"):
        load("w.pkl")
    with pytest.raises(errors.InvalidParameter, match=r"weights: expected None or a file for a factory"):
        load("random")
    with pytest.raises(errors.InvalidParameter, match=r"weights: expected None, 'random' or the path"):
        load(weights())  # type: ignore[arg-type]


@pytest.mark.filterwarnings("ignore:.*no inner layer")
def test_a_jax_model_takes_arrays_by_their_paths() -> None:
    pytest.importorskip("flax")
    from safetensors.numpy import save_file

    arrays = {
        "conv.kernel": np.arange(108, dtype=np.float32).reshape(3, 3, 3, 4) / 100,
        "conv.bias": np.zeros(4, np.float32),
        **{f"norm.{name}": np.ones(4, np.float32) for name in ("scale", "bias", "mean", "var")},
    }
    save_file(arrays, "w.safetensors")
    network = ph.load("weighed_jax:build", size=8, weights="w.safetensors")
    np.testing.assert_array_equal(np.asarray(network.model.conv.kernel[...]), arrays["conv.kernel"])  # type: ignore[attr-defined]
    save_file({"head.kernel": np.full((3, 2), 2.0, np.float32)}, "pair.safetensors")
    pair = ph.load("weighed_jax:pair", size=8, weights="pair.safetensors")
    grey = np.full((1, 8, 8, 3), 0.5, np.float32)
    np.testing.assert_allclose(ph.activations(pair, grey, "output")["output"], [[3.0, 3.0]])
    del arrays["norm.mean"]
    save_file(arrays, "w.safetensors")
    with pytest.raises(errors.CorruptWeights, match=r"1 missing: norm.mean. The keys of a file for a JAX model"):
        ph.load("weighed_jax:build", size=8, weights="w.safetensors")
    with pytest.raises(errors.InvalidParameter, match=r"weights: expected None for a model of this kind"):
        ph.load("weighed_jax:function", size=8, weights="w.safetensors")
    torch.save({}, "w.pt")
    with pytest.raises(errors.InvalidParameter, match=r"ends in .safetensors, got 'w.pt'"):
        ph.load("weighed_jax:build", size=8, weights="w.pt")
