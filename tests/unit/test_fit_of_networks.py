"""How pictures and files are fitted to a network: by its own preprocessing, unless the caller says otherwise."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from PIL import Image

import phosphene as ph
from phosphene import errors
from phosphene.data.in_memory import read_images
from phosphene.interface import InputSpec
from phosphene.loaders.preprocessing import _fit, _size
from pretend_operators import usable

WIDE = np.zeros((80, 160, 3), np.uint8)
WIDE[:, :40], WIDE[:, 40:80], WIDE[:, 80:120], WIDE[:, 120:] = (255, 0, 0), (0, 255, 0), (0, 0, 255), (255, 255, 255)
"""Four vertical bands: red, green, blue, white."""


def seen(spec: InputSpec, **stated: Any) -> np.ndarray:
    image = read_images(ph.images(Image.fromarray(WIDE), **stated) if stated else Image.fromarray(WIDE), spec)
    assert image.shape == (1, 32, 32, 3)
    return image[0]


def bands(row: np.ndarray) -> list[str]:
    """The saturated colours along a row, without repetitions."""
    names = {(1, 0, 0): "red", (0, 1, 0): "green", (0, 0, 1): "blue", (1, 1, 1): "white"}
    found = [
        names.get(tuple(np.round(pixel).astype(int)), "")
        for pixel in row
        if np.abs(pixel - np.round(pixel)).max() < 0.02
    ]
    return [name for place, name in enumerate(found) if name and (place == 0 or found[place - 1] != name)]


def test_each_rule_shows_what_it_says() -> None:
    assert bands(seen(InputSpec((32, 32)))[16]) == ["green", "blue"]
    stretched = seen(InputSpec((32, 32), fit="stretch"))
    assert bands(stretched[16]) == ["red", "green", "blue", "white"]
    padded = seen(InputSpec((32, 32), fit="pad"))
    assert bands(padded[16]) == ["red", "green", "blue", "white"]
    np.testing.assert_allclose(padded[[0, -1]], 0.5, atol=0.01)


def test_a_fraction_cuts_the_border_off() -> None:
    marked = np.full((64, 64, 3), 128, np.uint8)
    marked[:8] = marked[-8:] = marked[:, :8] = marked[:, -8:] = 255
    given = Image.fromarray(marked)
    assert read_images(given, InputSpec((32, 32))).max() > 0.99
    assert read_images(given, InputSpec((32, 32), fraction=0.7)).max() < 0.6


def test_what_the_caller_states_comes_first() -> None:
    spec = InputSpec((32, 32), fit="stretch")
    np.testing.assert_array_equal(seen(spec, fit="crop"), seen(InputSpec((32, 32))))
    np.testing.assert_array_equal(seen(spec, fit="pad", fraction=1.0), seen(InputSpec((32, 32), fit="pad")))


def test_arrays_are_fitted_only_when_it_is_said() -> None:
    spec = InputSpec((32, 32))
    assert read_images(WIDE, spec).shape == (1, 80, 160, 3)
    fitted = read_images(ph.images(WIDE, fit="stretch"), spec)
    np.testing.assert_allclose(fitted[0], seen(spec, fit="stretch"), atol=1 / 128)


@pytest.mark.parametrize(
    ("stated", "message"),
    [
        ({"fit": "squash"}, "fit: expected 'crop', 'pad' or 'stretch', got 'squash'"),
        ({"fit": 3}, "fit: expected"),
        ({"fraction": 0}, "fraction: expected a number above 0 and at most 1, got 0"),
        ({"fraction": 1.5}, "fraction: expected"),
        ({"fraction": float("nan")}, "fraction: expected"),
        ({"fraction": True}, "fraction: expected"),
        ({"fraction": "half"}, "fraction: expected"),
    ],
)
def test_what_is_not_a_rule(stated: dict[str, Any], message: str) -> None:
    with pytest.raises(errors.InvalidParameter, match=message):
        InputSpec((32, 32), **stated)
    with pytest.raises(errors.InvalidParameter, match=r"fit|fraction"):
        ph.images(WIDE, **stated)


def test_wrap_and_load_take_them(tmp_path: Path) -> None:
    pytest.importorskip("torch")
    plain = ph.load("specimen", backend="torch")
    whole = ph.load("specimen", backend="torch", fit="stretch", fraction=0.9)
    assert (plain.input.fit, plain.input.fraction) == ("crop", 1.0)
    assert (whole.input.fit, whole.input.fraction) == ("stretch", 0.9)
    path = tmp_path / "wide.png"
    Image.fromarray(WIDE).save(path)
    one, other = (ph.activations(net, path, "stage1")["stage1"] for net in (plain, whole))
    assert one.shape == other.shape and not np.allclose(one, other)


@pytest.mark.parametrize(
    ("given", "wanted"),
    [
        (None, {}),
        ({"do_resize": False, "size": {"height": 64, "width": 64}}, {}),
        ({"size": {"height": 192, "width": 192}}, {"fit": "stretch", "fraction": 1.0}),
        ({"size": 240}, {}),
        (
            {"size": {"shortest_edge": 256}, "do_center_crop": True, "crop_size": {"height": 192, "width": 192}},
            {"fit": "crop", "fraction": 0.75},
        ),
        ({"size": {"shortest_edge": 224}, "crop_pct": 0.875}, {"fit": "crop", "fraction": 0.875}),
        (
            {"size": {"height": 200, "width": 200}, "do_center_crop": True, "crop_size": 160},
            {"fit": "stretch", "fraction": 0.8},
        ),
        ({"size": {"longest_edge": 512}}, {}),
    ],
)
def test_the_preprocessing_of_transformers(given: Any, wanted: dict[str, Any]) -> None:
    assert _fit(given) == pytest.approx(wanted)


def test_the_preprocessing_of_torchvision() -> None:
    from phosphene.loaders.torchvision import _settings

    def weights(**sizes: Any) -> Any:
        transform = SimpleNamespace(mean=[0.5], std=[0.5], **sizes)
        return SimpleNamespace(transforms=lambda: transform, meta={"categories": ()})

    cut = _settings("some", weights(crop_size=[176], resize_size=[220]), {}, False)
    assert cut["fraction"] == pytest.approx(0.8) and cut["size"] == (176, 176)
    assert _settings("some", weights(resize_size=[520]), {}, True)["fraction"] == 1.0


@pytest.mark.parametrize(
    ("configuration", "wanted"),
    [
        ({"crop_pct": 0.9}, ("crop", 0.9)),
        ({"crop_pct": 1.0, "crop_mode": "squash"}, ("stretch", 1.0)),
        ({"crop_mode": "border", "crop_pct": 0.95}, ("pad", 0.95)),
        ({}, ("crop", 1.0)),
    ],
)
def test_the_preprocessing_of_timm(configuration: dict[str, Any], wanted: tuple[str, float]) -> None:
    from phosphene.loaders.request import Request
    from phosphene.loaders.timm import _settings

    model = SimpleNamespace(pretrained_cfg=configuration, num_classes=0)
    request = Request("some", weights=None, seed=0, backend=None, size=None, classes=None, arguments={})
    found = _settings(request, model, None)
    assert (found["fit"], found["fraction"]) == wanted


def places() -> Image.Image:
    """A picture of 300 x 420 pixels whose red and green are the places of its columns and rows."""
    row, column = np.mgrid[0:300, 0:420]
    return Image.fromarray(
        np.round(255 * np.stack([column / 419, row / 299, np.full(row.shape, 0.5)], axis=-1)).astype(np.uint8)
    )


def undone(pixels: Any, mean: Any, std: Any) -> np.ndarray:
    """Channel-first pixels before they were normalised, channel-last."""
    return np.moveaxis(np.asarray(pixels, np.float64), 0, -1) * np.asarray(std) + np.asarray(mean)


@pytest.mark.parametrize(
    ("processor", "stated"),
    [
        ("ViT", {"size": {"height": 64, "width": 56}}),
        ("ViT", {"size": 64}),
        ("DeiT", {"size": 72, "crop_size": 64, "do_center_crop": True}),
        ("CLIP", {"size": {"shortest_edge": 72}, "crop_size": {"height": 64, "width": 64}}),
        ("CLIP", {"size": 72, "crop_size": 64, "do_center_crop": True}),
        ("ConvNext", {"size": {"shortest_edge": 64}, "crop_pct": 0.8}),
        ("ConvNext", {"size": 64, "crop_pct": 0.8}),
        ("ConvNext", {"size": 64}),
        ("ConvNext", {"size": {"shortest_edge": 384}, "crop_pct": 0.8}),
        ("PoolFormer", {"size": {"shortest_edge": 64}, "crop_pct": 0.8, "crop_size": {"height": 64, "width": 64}}),
        ("Levit", {"size": {"shortest_edge": 64}, "crop_size": {"height": 64, "width": 64}}),
        ("MobileNetV2", {"size": {"shortest_edge": 72}, "crop_size": {"height": 64, "width": 64}}),
        (
            "Beit",
            {"size": {"height": 72, "width": 72}, "crop_size": {"height": 64, "width": 64}, "do_center_crop": True},
        ),
        ("Bit", {"size": {"shortest_edge": 72}, "crop_size": 64}),
        ("Segformer", {"size": {"height": 64, "width": 72}}),
    ],
)
def test_pictures_are_placed_as_by_the_processors_of_transformers(processor: str, stated: dict[str, Any]) -> None:
    transformers = usable("transformers")
    theirs = getattr(transformers, f"{processor}ImageProcessor")(**stated)
    pixels = theirs(images=places(), return_tensors="np")["pixel_values"][0]
    given = {**stated, "image_processor_type": f"{processor}ImageProcessor"}
    size = _size(given)
    assert size is not None
    ours = read_images(places(), InputSpec(size, **_fit(given)))[0]
    np.testing.assert_allclose(ours, undone(pixels, theirs.image_mean, theirs.image_std), atol=0.02)


def test_a_folder_of_transformers_states_how_its_pictures_are_fitted(tmp_path: Path) -> None:
    transformers = usable("transformers")
    small = {"hidden_size": 8, "num_hidden_layers": 1, "num_attention_heads": 1, "intermediate_size": 8}
    configuration = transformers.ViTConfig(**small, image_size=32, patch_size=16)
    transformers.ViTForImageClassification(configuration).save_pretrained(tmp_path / "vit")
    stated = {
        "size": {"shortest_edge": 40},
        "crop_size": 32,
        "do_center_crop": True,
        "image_mean": 0.5,
        "image_std": 0.5,
    }
    (tmp_path / "vit" / "preprocessor_config.json").write_text(json.dumps(stated))
    network = ph.load(f"hf:{tmp_path / 'vit'}")
    assert (network.input.size, network.input.fit, network.input.fraction) == ((32, 32), "crop", 0.8)
    again = ph.load(f"hf:{tmp_path / 'vit'}", fit="pad", fraction=1.0)
    assert (again.input.fit, again.input.fraction) == ("pad", 1.0)


@pytest.mark.parametrize("name", ["test_vit", "mobilenetv3_small_050", "efficientnet_b0"])
def test_pictures_are_placed_as_by_the_transforms_of_timm(name: str) -> None:
    timm = usable("timm")
    from phosphene.loaders.request import Request
    from phosphene.loaders.timm import _settings

    model = timm.create_model(name)
    request = Request(name, weights="random", seed=0, backend=None, size=None, classes=None, arguments={})
    found = _settings(request, model, None)
    for mode in ("center", "squash"):
        model.pretrained_cfg = {**model.pretrained_cfg, "crop_mode": mode}
        found = _settings(request, model, None)
        stated = timm.data.resolve_data_config(model=model)
        pixels = timm.data.create_transform(**stated)(places())
        spec = InputSpec(found["size"], fit=found["fit"], fraction=found["fraction"])
        np.testing.assert_allclose(
            read_images(places(), spec)[0], undone(pixels, stated["mean"], stated["std"]), atol=0.02
        )


@pytest.mark.parametrize("name", ["SqueezeNet1_1_Weights", "ViT_B_16_Weights", "EfficientNet_V2_S_Weights"])
def test_pictures_are_placed_as_by_the_transforms_of_torchvision(name: str) -> None:
    models = usable("torchvision.models")
    from phosphene.loaders.torchvision import _settings

    weights = getattr(models, name).DEFAULT
    found = _settings(name, weights, {}, False)
    pixels = weights.transforms()(places())
    spec = InputSpec(found["size"], fit=found.get("fit", "crop"), fraction=found["fraction"])
    np.testing.assert_allclose(read_images(places(), spec)[0], undone(pixels, found["mean"], found["std"]), atol=0.02)


def test_a_factory_is_wrapped_with_the_rule(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("torch")
    layers = "torch.nn.Sequential(torch.nn.Conv2d(3, 2, 3), torch.nn.ReLU())"
    (tmp_path / "made_here.py").write_text(f"import torch\n\ndef net():\n    return {layers}.eval()\n")
    monkeypatch.chdir(tmp_path)
    network = ph.load("made_here:net", size=16, fit="pad", fraction=0.5)
    assert (network.input.fit, network.input.fraction) == ("pad", 0.5)


def test_the_rule_goes_with_the_network_and_is_no_part_of_its_weights() -> None:
    pytest.importorskip("torch")
    import copy
    import pickle

    spec = InputSpec((16, 16), fit="stretch", fraction=0.75)
    for again in (pickle.loads(pickle.dumps(spec)), copy.deepcopy(spec)):
        assert again == spec and (again.fit, again.fraction) == ("stretch", 0.75)
    network = ph.load("specimen")
    other = ph.load("specimen", fit="stretch", fraction=0.75)
    assert other.fingerprint() == network.fingerprint()  # of the weights
    pixels = np.zeros((8, 64, 64, 3), np.float32)
    same = ph.parity(network, other, pixels, gradients=0)
    assert same.equal and "fit" not in json.dumps(same.certificate()["networks"])
