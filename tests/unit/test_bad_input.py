"""Bad input is named, with what was allowed and what to do; nothing is computed and nothing is half written."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest

import phosphene as ph
from columns import chosen
from phosphene import errors
from phosphene.backend import Network
from small_models import small_network

GREY = np.full((1, 64, 64, 3), 0.5, np.float32)


def test_an_unknown_layer_is_answered_with_the_nearest(specimen: Network) -> None:
    with pytest.raises(errors.UnknownLayer, match=r"no layer 'stage9' in specimen. Did you mean 'stage[123]'"):
        ph.render(specimen, ph.channel("stage9", 0))
    with pytest.raises(errors.UnknownLayer, match=r"Did you mean 'stem.conv'"):
        ph.activations(specimen, GREY, "stem.con")
    with pytest.raises(KeyError):
        specimen.layers["nothing"]


def test_a_channel_out_of_range(specimen: Network) -> None:
    with pytest.raises(
        errors.InvalidParameter, match=r"channel: expected 0 to 127 \('stage3' has 128 channels\), got 128"
    ):
        ph.render(specimen, ph.channel("stage3", 128))
    with pytest.raises(errors.InvalidParameter, match="channel: expected 0 to 127"):
        ph.render(specimen, ph.neuron("stage3", -1))


def test_a_position_out_of_range(specimen: Network) -> None:
    with pytest.raises(errors.InvalidParameter, match="at: expected a position in 'stage3', which has 8 x 8 positions"):
        ph.render(specimen, ph.neuron("stage3", 0, at=(8, 0)))


def test_an_unknown_class(specimen: Network) -> None:
    with pytest.raises(errors.UnknownClass, match=r"no class 'coin'. Did you mean 'coins'"):
        ph.render(specimen, ph.logit("coin"))
    with pytest.raises(errors.UnknownClass, match="no class 18: the network has 18 classes, numbered 0 to 17"):
        ph.render(specimen, ph.logit(18))


@pytest.mark.parametrize(
    ("images", "message"),
    [
        (np.zeros((1, 3, 64, 64), np.float32), r"shape \(1, 3, 64, 64\).*channel-first: ph.images"),
        (np.zeros((64, 64), np.float32), r"images: expected shape \(N, H, W, 3\)"),
        (GREY * 255, "images: expected values in \\[0, 1\\], got values from 127.5 to 127.5. Divide by 255"),
        (GREY - 1, "the network applies its own mean and std"),
        ((GREY * 255).astype(np.uint16), "dtype uint16. Divide by the largest value"),
        (np.full_like(GREY, np.nan), "12288 values that are NaN or infinite"),
    ],
)
def test_images_at_the_door(specimen: Network, images: np.ndarray, message: str) -> None:
    with pytest.raises(errors.InvalidImages, match=message):
        ph.activations(specimen, images, "stage1")


@pytest.mark.needs("foreign arrays")
def test_arrays_of_a_framework_are_images_but_no_activations(specimen: Network) -> None:
    native = specimen.backend.from_numpy(GREY, device="cpu", dtype="float32")
    wanted = ph.activations(specimen, GREY, "stage1")["stage1"]
    np.testing.assert_array_equal(ph.activations(specimen, native, "stage1")["stage1"], wanted)
    with pytest.raises(errors.MixedBackends, match="expected a NumPy array, got a"):
        ph.factorize(native, "stage1", k=2)


@pytest.mark.needs("foreign arrays")
def test_an_objective_in_numpy_is_told_to_use_xp(specimen: Network) -> None:
    with pytest.raises(errors.MixedBackends, match="Compute with `xp`"):
        ph.render(specimen, ph.objective(lambda xp, a: np.zeros(1), ["stage1"]), steps=1, progress=False)


def test_a_model_of_the_other_framework(backend: str) -> None:
    other = {"torch": "jax", "jax": "torch", "numpy-reference": "torch"}[backend]
    pytest.importorskip(other)
    with pytest.raises(errors.MixedBackends, match=f"expected a model of {other}"):
        ph.wrap(small_network(backend), size=16, backend=other)


def test_what_is_no_model_at_all() -> None:
    pytest.importorskip("torch")
    with pytest.raises(errors.UnknownModel, match=r"expected a torch.nn.Module.*got builtins.int"):
        ph.wrap(3, size=16)
    with pytest.raises(errors.InvalidParameter, match=r"network: expected a network.*Wrap a model first"):
        ph.render(3, ph.logit(0))  # type: ignore[arg-type]


def test_the_class_of_a_model_is_not_a_model(backend: str) -> None:
    kind = type(small_network(backend))
    with pytest.raises(
        errors.UnknownModel, match=rf"got the class {kind.__qualname__} itself\. Pass an instance of it"
    ):
        ph.wrap(kind, size=16)


@pytest.mark.needs("training mode")
def test_a_model_in_training_mode_is_handled_and_said(backend: str) -> None:
    with pytest.warns(
        errors.ModelWarning, match="is in training mode: it is read in evaluation mode, and its mode is not changed"
    ):
        network = ph.wrap(small_network(backend, train=True), size=16)
    images = np.random.default_rng(0).random((2, 16, 16, 3)).astype(np.float32)
    both = ph.activations(network, images, "output")["output"]
    alone = ph.activations(network, images[:1], "output")["output"]
    np.testing.assert_allclose(both[:1], alone, atol=1e-6)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"steps": 0}, "steps: expected an integer of at least 1, got 0"),
        ({"steps": 1.5}, "steps: expected an integer"),
        ({"size": 0}, "size: expected pixels"),
        ({"seed": -1}, "seed: expected an integer of at least 0"),
        ({"preset": "lucit"}, "preset: expected 'default', 'lucid', .*, got 'lucit'. Did you mean 'lucid'"),
        ({"slots": 0}, "slots: expected an integer of at least 1"),
        (
            {"regularizers": [ph.regularizers.blur(1.0)]},
            r"regularizers\[0\]: expected penalties with .*parameterization=ph.parameterizations.pixel\(\)",
        ),
        ({"regularizers": ["tv"]}, r"regularizers\[0\]: expected a penalty or a projection"),
        ({"transforms": ["jitter"]}, r"transforms\[0\]: expected a transform"),
        ({"parameterization": "fft"}, "parameterization: expected a parameterization"),
        ({"optimizer": 3}, "optimizer: expected ph.optimizers.adam"),
        ({"progress": 3}, "progress: expected a function, True, False or None"),
    ],
)
def test_parameters_of_render(specimen: Network, options: dict[str, object], message: str) -> None:
    with pytest.raises(errors.InvalidParameter, match=message):
        ph.render(specimen, ph.logit(0), **options)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: ph.regularizers.total_variation(-1), "weight: expected a number of at least 0, got -1"),
        (lambda: ph.regularizers.l2(-1), "weight: expected a number of at least 0"),
        (lambda: ph.regularizers.total_variation(1, "huber"), "kind: expected 'isotropic' or 'anisotropic'"),
        (lambda: ph.optimizers.adam(0), "learning_rate: expected a number above 0"),
        (lambda: ph.optimizers.adam(0.1, beta1=1.0), "beta1: expected a number in"),
        (lambda: ph.optimizers.sgd(0.1, momentum=1.0), "momentum: expected a number in"),
        (lambda: ph.parameterizations.fourier(-1), "decay: expected a number of at least 0"),
        (lambda: ph.parameterizations.pixel(-1), "spread: expected a number of at least 0"),
        (lambda: ph.transforms.jitter(-1), "pixels: expected an integer of at least 0"),
        (lambda: ph.transforms.scale(1.1, 0.9), "scale: expected positive factors with low <= high"),
        (lambda: ph.transforms.rotate(-5), "degrees: expected a number of at least 0 and at most 180"),
        (lambda: ph.transforms.noise(-0.1), "deviation: expected a number of at least 0"),
        (lambda: ph.regularizers.blur(0), "sigma: expected a number above 0"),
        (lambda: ph.regularizers.decay(2), "rate: expected a number of at least 0 and at most 1"),
        (lambda: ph.regularizers.clip(0.8, 0.2), "low, high: expected bounds with 0 <= low < high <= 1"),
        (lambda: ph.objectives.match("a", [1], measure="l3"), "measure: expected 'squared' or 'cosine'"),
        (lambda: ph.objective(3), "objective: expected an objective"),  # type: ignore[arg-type]
    ],
)
def test_parameters_of_declarations(make, message: str) -> None:  # type: ignore[no-untyped-def]
    with pytest.raises(errors.InvalidParameter, match=message):
        make()


def test_directions_of_the_wrong_length(specimen: Network) -> None:
    with pytest.raises(errors.InvalidObjective, match=r"vector: expected 64 numbers \(one per channel of 'stage2'\)"):
        ph.render(specimen, ph.direction("stage2", np.ones(63)))
    with pytest.raises(errors.InvalidObjective, match="not all zero"):
        ph.render(specimen, ph.direction("stage2", np.zeros(64)))


def test_an_objective_of_the_wrong_shape(specimen: Network) -> None:
    with pytest.raises(
        errors.InvalidObjective, match=r"expected one value per image, shape \(1,\), got shape \(1, 64\)"
    ):
        ph.render(specimen, lambda xp, a: xp.mean(a["stage2"], axis=(1, 2)), steps=1, progress=False)


def test_an_objective_that_reads_no_layer(specimen: Network) -> None:
    with pytest.raises(errors.InvalidObjective, match="a function that reads at least one layer"):
        ph.render(specimen, lambda xp, a: xp.zeros(1), steps=1, progress=False)


def test_a_layer_that_does_not_depend_on_the_image(backend: str) -> None:
    makers = {"torch": _constant_module, "jax": _constant_function, "numpy-reference": _constant_generator}
    network = ph.wrap(chosen(makers, backend)(), size=16)
    with pytest.raises(errors.InvalidObjective, match="No gradient reaches the image from table"):
        ph.render(network, ph.channel("table", 0), steps=4, transforms=[], regularizers=[], progress=False)


def _constant_module():  # type: ignore[no-untyped-def]
    import torch

    class Constant(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.table = torch.nn.Embedding(3, 4)
            self.head = torch.nn.Linear(4, 2)

        def forward(self, x):  # type: ignore[no-untyped-def]
            return self.head(self.table(torch.zeros(len(x), dtype=torch.long)))

    return Constant().eval()


def _constant_function():  # type: ignore[no-untyped-def]
    import jax.numpy as jnp
    from jax.ad_checkpoint import checkpoint_name

    return lambda x: checkpoint_name(jnp.ones((x.shape[0], 4)), "table")


def _constant_generator():  # type: ignore[no-untyped-def]
    from reference_backend import Model

    def constant(weights, x):  # type: ignore[no-untyped-def]
        return (yield "table", np.ones((x.shape[0], 4), np.float32))

    return Model(constant, {})


def test_a_model_that_does_not_take_the_size(backend: str) -> None:
    with pytest.raises(errors.ModelFailed, match="Check size"):
        ph.wrap(small_network(backend), size=16, channels=4)


def test_wrong_normalisation_and_class_names(backend: str) -> None:
    model = small_network(backend)
    with pytest.raises(errors.InvalidParameter, match="mean: expected 1 or 3 numbers"):
        ph.wrap(model, size=16, mean=[0.5, 0.5])
    with pytest.raises(errors.InvalidParameter, match="std: expected positive numbers"):
        ph.wrap(model, size=16, std=0.0)
    with pytest.raises(errors.InvalidParameter, match="classes: expected 5 names"):
        ph.wrap(model, size=16, classes=["a", "b"])
    with pytest.raises(errors.InvalidParameter, match="dtype: expected 'float32'"):
        ph.wrap(model, size=16, dtype="int8")
    with pytest.raises(errors.InvalidParameter, match="device: expected 'cpu"):
        ph.wrap(model, size=16, device={"jax": "gpu:7"}.get(backend, "cuda:7"))


def test_inversion_of_what_is_neither_image_nor_activation(specimen: Network) -> None:
    with pytest.raises(
        errors.InvalidParameter, match=r"source: expected images .* or activations of 'stage3' of shape \(8, 8, 128\)"
    ):
        ph.invert(specimen, np.zeros((5, 5, 7)), "stage3")


def test_unknown_names_and_backends() -> None:
    with pytest.raises(errors.InvalidParameter, match=r"name: expected 'specimen'.*Did you mean 'specimen'"):
        ph.load("specimn")
    with pytest.raises(errors.InvalidParameter, match=r"backend: expected 'torch' or 'jax'.*, got 'tensorflow'"):
        ph.load("specimen", backend="tensorflow")


def test_a_corrupt_weights_file(tmp_path: Path) -> None:
    from phosphene.specimen import load
    from phosphene.specimen.weights import path_of

    whole = path_of("specimen").read_bytes()
    for content in (b"", whole[: len(whole) // 2], b"\x00" * 200):
        damaged = tmp_path / "w.safetensors"
        damaged.write_bytes(content)
        with pytest.raises(errors.CorruptWeights, match="cannot be read"):
            load("specimen", damaged)


def test_an_unwritable_place_is_found_before_the_work(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from phosphene import cli

    occupied = tmp_path / "file"
    occupied.write_text("here")
    worked = []
    monkeypatch.setattr(ph, "load", lambda *a, **k: worked.append(1))
    with pytest.raises(errors.UnwritablePath, match="cannot write"):
        cli.render("specimen", ["coins"], out=occupied / "x.png")
    with pytest.raises(errors.InvalidParameter, match=r"a name that ends in .png or .npz"):
        cli.render("specimen", ["coins"], out=tmp_path / "x.jpg")
    assert not worked and os.listdir(tmp_path) == ["file"]
