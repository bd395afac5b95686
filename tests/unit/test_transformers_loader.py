"""Networks of transformers: from a folder, from the cache of the hub, from a model type; and how they are fed."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import phosphene as ph
from loading import go_offline, in_hub_cache, random_states
from phosphene import errors
from pretend_operators import usable

GREY = np.full((1, 32, 32, 3), 0.5, np.float32)


@pytest.fixture
def offline(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> list[str]:
    """No network, and empty caches; the URLs that were asked for."""
    return go_offline(monkeypatch, tmp_path)


@pytest.fixture
def vit_folder(tmp_path: Path) -> Path:
    """A small ViT as save_pretrained writes it, with a preprocessor_config.json."""
    transformers = usable("transformers")
    configuration = transformers.ViTConfig(
        hidden_size=16,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=32,
        image_size=32,
        patch_size=8,
        id2label={0: "cat", 1: "dog", 2: "fox"},
        label2id={"cat": 0, "dog": 1, "fox": 2},
    )
    transformers.ViTForImageClassification(configuration).save_pretrained(tmp_path / "vit")
    processor = {"size": {"height": 32, "width": 32}, "image_mean": [0.1, 0.2, 0.3], "image_std": [0.4, 0.5, 0.6]}
    (tmp_path / "vit" / "preprocessor_config.json").write_text(json.dumps(processor))
    return tmp_path / "vit"


def test_a_folder_of_transformers_is_loaded_offline_with_its_preprocessing(
    vit_folder: Path, offline: list[str]
) -> None:
    import torch
    from transformers import ViTForImageClassification

    network = ph.load(f"hf:{vit_folder}")
    assert network.input.size == (32, 32) and network.input.mean == (0.1, 0.2, 0.3)
    assert network.classes == ("cat", "dog", "fox") and network.name == "vit" and offline == []
    reference = ViTForImageClassification.from_pretrained(vit_folder)
    pixels = torch.full((1, 3, 32, 32), 0.5) - torch.tensor([0.1, 0.2, 0.3])[:, None, None]
    expected = reference(pixels / torch.tensor([0.4, 0.5, 0.6])[:, None, None]).logits.detach().numpy()
    np.testing.assert_allclose(ph.activations(network, GREY, "output")["output"], expected, atol=1e-5)


def test_a_folder_without_preprocessing_is_fed_as_usual_and_says_so(vit_folder: Path) -> None:
    (vit_folder / "preprocessor_config.json").unlink()
    with pytest.warns(
        errors.ModelWarning, match=r"no preprocessor_config.json was found, so the usual preprocessing of 'vit'"
    ):
        network = ph.load(f"hf:{vit_folder}")
    assert network.input.size == (32, 32) and network.input.mean == (0.5, 0.5, 0.5)


@pytest.mark.parametrize(
    ("processor", "expected"),
    [
        ({"size": {"shortest_edge": 40}, "crop_size": {"height": 32, "width": 24}}, ((32, 24), (0.0, 1.0))),
        ({"size": {"shortest_edge": 40}, "crop_size": 32, "do_center_crop": False}, ((40, 40), (0.0, 1.0))),
        ({"size": 48, "do_rescale": False}, ((48, 48), (0.0, 255.0))),
        ({"rescale_factor": 1 / 127.5, "rescale_offset": True, "do_normalize": False}, ((32, 32), (-1.0, 1.0))),
    ],
)
def test_preprocessing_is_read_as_it_is_meant(vit_folder: Path, processor: Any, expected: Any) -> None:
    from transformers import AutoConfig

    from phosphene.loaders.preprocessing import settings_of

    content = {"image_mean": [0.5] * 3, "image_std": [0.5] * 3, **processor}
    (vit_folder / "preprocessor_config.json").write_text(json.dumps(content))
    fed = settings_of(str(vit_folder), AutoConfig.from_pretrained(vit_folder), local=True)
    assert (fed.settings["size"], fed.settings["range"]) == expected and fed.notes == []
    assert fed.settings["mean"] == (0.0 if processor.get("do_normalize") is False else [0.5] * 3)


SMALL = {
    "resnet": {"embedding_size": 4, "hidden_sizes": [4, 8], "depths": [1, 1]},
    "dinov2_with_registers": {"hidden_size": 8, "num_hidden_layers": 1, "num_attention_heads": 2, "image_size": 56},
    "segformer": {"hidden_sizes": [4, 4, 8, 8], "depths": [1, 1, 1, 1], "num_attention_heads": [1, 1, 1, 1]},
}


@pytest.mark.parametrize("kind", SMALL)
def test_a_model_type_of_transformers_is_built_with_random_weights(kind: str) -> None:
    usable("transformers")
    before = random_states()
    network = ph.load(f"hf:{kind}", weights="random", size=56, classes=["a", "b", "c"], arguments=SMALL[kind])
    assert random_states() == before
    assert network.classes == ("a", "b", "c") and network.layers["output"].shape == (3,)


def test_the_image_tower_of_a_pair_is_what_is_loaded() -> None:
    usable("transformers")
    from phosphene.loaders import transformers
    from phosphene.loaders.request import Request

    small = {"hidden_size": 8, "num_hidden_layers": 1, "num_attention_heads": 2, "image_size": 32, "patch_size": 16}
    for name in ("clip", "clip_vision_model"):
        loaded = transformers.load(Request(name, weights="random", arguments=small))
        assert type(loaded.model).__name__ == "CLIPVisionModel"
        assert loaded.settings["mean"][0] == pytest.approx(0.4815, abs=1e-4) and loaded.settings["classes"] is None
        assert loaded.settings["output"](loaded.model(np_to_torch(GREY))).shape == (1, 8)
        assert ph.load(f"hf:{name}", weights="random", arguments=small).layers["output"].shape == (8,)


def np_to_torch(images: Any) -> Any:
    import torch

    return torch.from_numpy(images.transpose(0, 3, 1, 2).copy())


def test_what_is_in_the_cache_of_the_hub_is_not_asked_for(vit_folder: Path, offline: list[str], tmp_path: Path) -> None:
    shutil.copytree(vit_folder, in_hub_cache(tmp_path, "someone/small"), dirs_exist_ok=True)
    network = ph.load("hf:someone/small")
    assert network.classes == ("cat", "dog", "fox") and network.input.mean == (0.1, 0.2, 0.3)
    assert network.fingerprint() == ph.load(f"hf:{vit_folder}").fingerprint() and offline == []
    assert ph.load("hf:someone/small", weights="random").fingerprint() != network.fingerprint()


def test_a_folder_that_does_not_hold_what_it_says_is_refused(vit_folder: Path) -> None:
    from safetensors.torch import load_file, save_file

    place = vit_folder / "model.safetensors"
    whole = load_file(place)
    save_file({key: value for key, value in whole.items() if key != "classifier.weight"}, place)
    with pytest.raises(errors.CorruptWeights, match=r"1 missing: classifier.weight"):
        ph.load(f"hf:{vit_folder}")
    place.write_bytes(b"no weights")
    with pytest.raises(errors.CorruptWeights, match=r"cannot be read"):
        ph.load(f"hf:{vit_folder}")
    place.unlink()
    with pytest.raises(errors.CorruptWeights, match=r"no file named model.safetensors"):
        ph.load(f"hf:{vit_folder}")
    (vit_folder / "config.json").unlink()
    with pytest.raises(errors.InvalidParameter, match=r"The folder has no config.json"):
        ph.load(f"hf:{vit_folder}")


def test_a_tower_whose_pooling_was_not_saved_says_so(vit_folder: Path) -> None:
    configuration = json.loads((vit_folder / "config.json").read_text())
    (vit_folder / "config.json").write_text(
        json.dumps(configuration | {"architectures": ["ViTForMaskedImageModeling"]})
    )
    from phosphene.loaders import transformers
    from phosphene.loaders.request import Request

    loaded = transformers.load(Request(str(vit_folder)))
    assert type(loaded.model).__name__ == "ViTModel" and loaded.settings["classes"] is None
    assert len(loaded.notes) == 1 and "has no weights for pooler" in loaded.notes[0]


def test_code_that_comes_with_a_model_is_not_run(vit_folder: Path, tmp_path: Path) -> None:
    configuration = json.loads((vit_folder / "config.json").read_text())
    remote = {"model_type": "homemade", "auto_map": {"AutoConfig": "homemade.Homemade"}}
    (vit_folder / "config.json").write_text(json.dumps(configuration | remote))
    (vit_folder / "homemade.py").write_text(f"open({str(tmp_path / 'flag')!r}, 'w')\n")
    with pytest.raises(errors.InvalidParameter, match=r"a model whose configuration transformers can read"):
        ph.load(f"hf:{vit_folder}")
    assert not (tmp_path / "flag").exists()
