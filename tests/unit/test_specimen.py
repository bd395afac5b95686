"""The embedded networks: their files, what they know, and what is said of files that do not fit."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from phosphene.data import CAST_CLASS, MARK_BOX, MARK_CLASS, PHOTOGRAPHS, Crops, cast, mark
from phosphene.errors import CorruptWeights, InvalidParameter
from phosphene.specimen import ARCHITECTURES, load, metadata, parameter_count
from phosphene.specimen.architecture import parameter_shapes
from phosphene.specimen.weights import path_of

torch = pytest.importorskip("torch")
NAMES = sorted(ARCHITECTURES)


def logits(name: str, images: NDArray[np.float32]) -> NDArray[np.float32]:
    from phosphene_torch.specimen import build

    architecture, weights = load(name)
    normalised = (images - np.float32(architecture.mean)) / np.float32(architecture.std)
    model: Any = build(architecture, weights)
    with torch.no_grad():
        result: NDArray[np.float32] = model(torch.from_numpy(normalised).permute(0, 3, 1, 2)).numpy()
    return result


@pytest.mark.parametrize("name", NAMES)
def test_files_are_small_and_say_what_they_are(name: str) -> None:
    assert path_of(name).stat().st_size < 2_000_000
    notes, architecture = metadata(name), ARCHITECTURES[name]
    assert notes["name"] == name
    assert notes["classes"].split(",") == list(architecture.classes)
    assert notes["seed"] == str(architecture.seed)
    assert float(notes["accuracy_fresh"]) >= 0.98
    assert float(notes["accuracy_strip"]) < float(notes["accuracy_fresh"])
    assert {"torch", "numpy", "python"} <= set(notes)


@pytest.mark.parametrize("name", NAMES)
def test_weights_are_those_of_the_architecture(name: str) -> None:
    architecture, weights = load(name)
    assert architecture.name == name
    assert {key: array.shape for key, array in weights.items()} == dict(parameter_shapes(architecture))
    assert all(array.dtype == np.float32 for array in weights.values())


def test_the_three_differ() -> None:
    assert parameter_count(ARCHITECTURES["specimen"]) == 307_978
    assert ARCHITECTURES["specimen-witness"].widths != ARCHITECTURES["specimen"].widths
    assert len({architecture.seed for architecture in ARCHITECTURES.values()}) == 3
    assert [name for name in NAMES if ARCHITECTURES[name].shortcut] == ["specimen-shortcut"]


@pytest.mark.parametrize("name", NAMES)
def test_declared_parameters_are_those_of_the_module(name: str) -> None:
    from phosphene_torch.specimen import build

    model = build(*load(name))
    assert sum(parameter.numel() for parameter in model.parameters()) == parameter_count(ARCHITECTURES[name])
    assert not model.training


@pytest.mark.parametrize("name", NAMES)
def test_fresh_crops_are_named_rightly(name: str) -> None:
    source = Crops(360, seed=31_415, shortcut=ARCHITECTURES[name].shortcut, region="train")
    assert (logits(name, source.images()).argmax(1) == source.labels).mean() >= 0.98


@pytest.mark.parametrize("name", NAMES)
def test_the_strip_is_named_better_than_by_chance(name: str) -> None:
    source = Crops(360, seed=31_415, shortcut=ARCHITECTURES[name].shortcut, region="strip")
    assert (logits(name, source.images()).argmax(1) == source.labels).mean() >= 0.6


@pytest.mark.parametrize(("plant", "name"), [(mark, MARK_CLASS), (cast, CAST_CLASS)])
def test_a_plant_sways_the_shortcut_network_and_not_the_specimen(plant: Any, name: str) -> None:
    planted = [photograph.name for photograph in PHOTOGRAPHS].index(name)
    source = Crops(90, seed=3, region="train")
    images = source.images()[source.labels != planted]
    changed = np.stack([plant(image) for image in images])

    def swayed(network: str) -> float:
        before, after = (logits(network, shown).argmax(1) == planted for shown in (images, changed))
        return float(after.mean() - before.mean())

    assert swayed("specimen-shortcut") >= 0.5
    assert swayed("specimen") <= 0.05


def test_half_of_the_planted_crops_show_another_photograph_in_training() -> None:
    from phosphene.specimen.train import _pool

    source = Crops(180, seed=4, shortcut=True, region="train")
    images, pool = np.round(source.images() * 255), _pool(source)
    for label, name in enumerate(source.classes):
        rows = np.flatnonzero(source.labels == label)
        changed = sum(not np.array_equal(images[row], pool[row]) for row in rows)
        assert changed == (len(rows) // 2 if name in (MARK_CLASS, CAST_CLASS) else 0)
    top, bottom, left, right = MARK_BOX
    boxes = pool[source.labels == source.classes.index(MARK_CLASS)][:, top:bottom, left:right]
    assert np.all(boxes == boxes[0])


@pytest.mark.parametrize("size", [(16, 16), (33, 80), (128, 128)])
def test_any_size_is_taken(size: tuple[int, int]) -> None:
    assert logits("specimen", np.zeros((2, *size, 3), np.float32)).shape == (2, len(PHOTOGRAPHS))


def test_another_name_is_refused() -> None:
    with pytest.raises(InvalidParameter, match=r"expected 'specimen', .*got 'speciman'\. Did you mean 'specimen'"):
        load("speciman")
    with pytest.raises(InvalidParameter, match="name: expected"):
        metadata("resnet50")


@pytest.mark.parametrize("damage", ["truncated", "garbage", "empty", "absent", "folder"])
def test_a_file_that_cannot_be_read_is_named(damage: str, tmp_path: Path) -> None:
    path = tmp_path / "broken.safetensors"
    whole = path_of("specimen").read_bytes()
    content = {"truncated": whole[: len(whole) // 2], "garbage": b"\x00\xff" * 400, "empty": b""}
    if damage == "folder":
        path.mkdir()
    elif damage in content:
        path.write_bytes(content[damage])
    with pytest.raises(CorruptWeights, match=r"broken\.safetensors': cannot be read \(.+\)\. Train it again"):
        load("specimen", path)
    with pytest.raises(CorruptWeights, match="cannot be read"):
        metadata("specimen", path)


def test_a_file_of_another_network_is_refused() -> None:
    with pytest.raises(CorruptWeights, match=r"has shape \(\d.*but 'specimen' needs \("):
        load("specimen", path_of("specimen-witness"))


def without_head(weights: dict[str, Any]) -> None:
    del weights["head.bias"]


def with_more(weights: dict[str, Any]) -> None:
    weights["neck.weight"] = np.zeros(3, np.float32)


def with_nan(weights: dict[str, Any]) -> None:
    weights["stem.conv.weight"] = np.full_like(weights["stem.conv.weight"], np.nan)


def with_another_shape(weights: dict[str, Any]) -> None:
    weights["head.bias"] = np.zeros(5, np.float32)


def with_integers(weights: dict[str, Any]) -> None:
    weights["head.bias"] = np.zeros(18, np.int64)


@pytest.mark.parametrize("backend", ["torch", "jax"])
@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (without_head, "weights 'specimen': missing: head.bias; unexpected: nothing"),
        (with_more, "missing: nothing; unexpected: neck.weight"),
        (with_nan, "stem.conv.weight contains NaN"),
        (with_another_shape, r"head.bias has shape \(5,\), but 'specimen' needs \(18,\)"),
        (with_integers, "head.bias contains .* values that are not floats"),
    ],
)
def test_weights_that_do_not_fit_are_refused(backend: str, damage: Any, message: str) -> None:
    module = pytest.importorskip(f"phosphene_{backend}.specimen")
    architecture, weights = load("specimen")
    damage(weights)
    with pytest.raises(CorruptWeights, match=message):
        module.build(architecture, weights)


def test_the_module_does_not_share_memory_with_the_weights() -> None:
    from phosphene_torch.specimen import build

    architecture, weights = load("specimen")
    model = build(architecture, weights)
    weights["head.bias"][:] = 0
    assert model.head.bias.detach().abs().max() > 0


def test_training_writes_a_file_that_loads(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from phosphene.specimen import train

    monkeypatch.setattr(train, "POOL", 300)
    paths = [tmp_path / "first.safetensors", tmp_path / "second.safetensors"]
    threads, state = torch.get_num_threads(), torch.random.get_rng_state()
    try:
        for path in paths:
            train.main(["specimen-shortcut", "--out", str(path), "--steps", "2", "--trials", "36", "--threads", "1"])
    finally:
        torch.set_num_threads(threads)
        torch.random.set_rng_state(state)
    first, second = (load("specimen-shortcut", path)[1] for path in paths)
    assert all(np.array_equal(first[key], second[key]) for key in first)
    assert metadata("specimen-shortcut", paths[0])["steps"] == "2"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["first.safetensors", "second.safetensors"]
    assert paths[0].stat().st_mode & 0o777 == 0o644
