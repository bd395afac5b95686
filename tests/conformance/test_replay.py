"""`replay` makes the same pictures again, to the last bit, and does nothing that a file tells it to."""

from __future__ import annotations

import io
import json
import struct
import sys
import zipfile
import zlib
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from PIL.PngImagePlugin import PngInfo

import phosphene as ph
from phosphene import errors
from phosphene.backend import Network
from phosphene.kit import archives as archive_files
from phosphene.rendering.presets import preset_named
from phosphene.rendering.replays import replay
from phosphene.rendering.serialization import recipe_text
from phosphene.rules import Redirected

Load = Callable[..., Network]

RECIPES: dict[str, dict[str, Any]] = {
    "default": {},
    "lucid": {"preset": "lucid", "slots": 2, "seed": 3},
    "vit": {"preset": "vit", "warm_up": 0},
    "plain": {"preset": "plain", "rule": "redirected", "patience": 3},
    "rewritten": {
        "preset": "captum",
        "parameterization": ph.parameterizations.pixel(0.2, uniform=True),
        "transforms": [
            ph.transforms.flip(),
            ph.transforms.crop(0.9, 0.6),
            ph.transforms.resize(40),
            ph.transforms.noise(0.1, 0.0),
            ph.transforms.colour(0.1, 0.1),
        ],
        "regularizers": [
            ph.regularizers.l1(0.1),
            ph.regularizers.l2(0.2),
            ph.regularizers.blur(0.5, 2),
            ph.regularizers.decay(0.01),
            ph.regularizers.clip(0.1, 0.9),
        ],
        "optimizer": ph.optimizers.nadam(0.1, schedule=ph.optimizers.cosine(6, 0.1)),
        "size": (32, 48),
    },
    "phases": {
        "parameterization": ph.parameterizations.maco(),
        "transforms": [ph.transforms.roll(3)],
        "optimizer": ph.optimizers.sgd(0.5, 0.9, normalize=True),
    },
    "uncropped": {"transforms": [], "crop": False},
    "cropped": {"transforms": [ph.transforms.jitter(2)]},
}
RECIPES["phases"]["regularizers"] = []


def objectives() -> list[Any]:
    vector = np.random.default_rng(0).standard_normal(128)
    return [
        ph.logit("coins"),
        ph.channel("stage2", 3),
        ph.channel("stage2", 3),  # the second of two that are equal has draws of its own
        ph.neuron("stage1", 5),
        ph.channel("stage2", 4) - 0.5 * ph.logit(2),
        ph.channel("stage1", 3) * ph.channel("stage1", 4),
        ph.objectives.group("stage2", {0: 0.3, 4: 0.5, 9: 0.1}),
        ph.direction("stage3", vector, cosine_power=1.0, label="a direction"),
        ph.objectives.spatial("stage3", vector.reshape(1, 1, 128)),
        ph.objectives.layer("stage1"),
    ]


@pytest.mark.slow
@pytest.mark.parametrize("recipe", RECIPES)
def test_the_pictures_are_the_same_to_the_last_bit(recipe: str, specimen: Network, tmp_path: Path) -> None:
    if specimen.backend.compiled and recipe != "rewritten":
        pytest.skip("each recipe is compiled three times, and how it is written down is no business of a backend")
    wanted = objectives() if recipe == "default" and not specimen.backend.compiled else objectives()[:4]
    given = {"size": 32, "steps": 6, **RECIPES[recipe]}
    first = ph.render(specimen, wanted, **given, progress=False)
    for name in ("x.png", "x.npz"):
        again = replay(first.save(tmp_path / name))
        loaded = ph.Renders.load(tmp_path / name)
        if name == "x.npz":
            np.testing.assert_array_equal(again.images, loaded.images)
            np.testing.assert_array_equal(again.history, loaded.history)
        np.testing.assert_array_equal(np.round(again.images * 255), np.round(loaded.images * 255))
        assert again.labels == first.labels and again.settings == first.settings
    assert first.settings["backend"] == specimen.backend.name


def test_measured_batches_are_taken_over(specimen: Network) -> None:
    if specimen.backend.compiled:
        pytest.skip("as above")
    wanted = [ph.channel("stage1", index) for index in range(5)] + [ph.logit(index) for index in range(3)]
    wanted += [ph.objectives.layer("stage1"), ph.channel("stage2", 1)]
    first = ph.render(specimen, wanted, size=32, steps=3, slots="measured", progress=False)
    np.testing.assert_array_equal(replay(first).images, first.images)
    # As if unlike numbers had been measured: each batch of targets with its own.
    widths = [1 + place % 2 for place in range(len(first.settings["batches"]))]
    assert len(widths) > 2
    again = replay(replace(first, settings={**first.settings, "run": {**first.settings["run"], "widths": widths}}))
    assert again.labels == first.labels
    np.testing.assert_allclose(again.images, first.images, atol=2e-2)
    with pytest.raises(errors.InvalidParameter, match="batches: expected the place of each objective"):
        replay(replace(again, settings={**again.settings, "batches": [[0]] * len(widths)}))


@pytest.mark.slow
def test_a_network_of_ones_own_is_given_and_held_against_the_fingerprint(specimen: Network, load: Load) -> None:
    first = ph.render(specimen, ph.logit(0), size=32, steps=2, progress=False)
    np.testing.assert_array_equal(replay(first, network=specimen).images, first.images)
    renamed = replace(first, settings={**first.settings, "network": "os.path:join"})
    with pytest.raises(
        errors.InvalidParameter, match=r"'os.path:join', and a name in a file is not loaded.*--model NAME"
    ):
        replay(renamed)
    np.testing.assert_array_equal(replay(renamed, network=specimen).images, first.images)
    with pytest.warns(errors.ModelWarning, match="its weights differ"):
        replay(first, network=load("specimen-witness", specimen.backend.name))
    with pytest.raises(errors.InvalidParameter, match="backend: expected None if a network is given"):
        replay(first, network=specimen, backend="torch")


def test_the_other_framework_sees_the_same(load: Load) -> None:
    networks = {name: load("specimen", name) for name in ("torch", "jax")}
    first = ph.render(networks["torch"], ph.logit(0), size=32, steps=2, progress=False)
    with pytest.warns(errors.ModelWarning, match="of another framework, which cannot be compared"):
        again = replay(first, backend="jax")
    assert again.settings["backend"] == "jax"
    np.testing.assert_allclose(again.images, first.images, atol=1e-3)


def test_settings_of_earlier_versions_are_read(load: Load, tmp_path: Path) -> None:
    """They hold the objectives and the recipe once more, as text."""
    network = load("specimen", "torch")
    fourier = ph.parameterizations.fourier(decay=1.0)
    options: dict[str, Any] = {
        "size": 32,
        "steps": 3,
        "preset": "plain",
        "parameterization": fourier,
        "progress": False,
    }
    first = ph.render(network, ph.channel("stage1", 1), **options)
    recipe = preset_named("plain", (32, 32), (64, 64))
    text: dict[str, Any] = {"parameterization": repr(fourier), "transforms": [], "regularizers": []}
    text |= {
        "optimizer": repr(recipe.optimizer),
        "rule": "None",
        "views": 1,
        "steps": 3,
        "warm_up": 64,
        "patience": None,
    }
    older = {**first.settings, "objectives": ["Channel(...)"], "preset": "plain", "recipe": text}
    for name in ("x.png", "x.npz"):
        again = replay(replace(first, settings=older).save(tmp_path / name))
        np.testing.assert_array_equal(again.images, first.images)
    resumed = [
        ph.render(network, ph.channel("stage1", 1), start=replace(first, settings=settings), **options).images
        for settings in (first.settings, older, {})
    ]
    np.testing.assert_array_equal(resumed[0], resumed[1])
    assert not np.array_equal(resumed[0], resumed[2])  # of unknown parameterization: the pictures are converted
    without_run = {key: value for key, value in older.items() if key != "run"}
    assert recipe_text(without_run) == recipe_text(first.settings)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (
            lambda net: ph.invert(net, np.full((32, 32, 3), 0.5, np.float32), "stage1", steps=2),
            r"objectives\[0\].*ph.invert",
        ),
        (lambda net: ph.render(net, ph.logit(0), size=32, steps=2, start=np.full((32, 32, 3), 0.5)), "start: expected"),
        (lambda net: ph.render(net, lambda xp, a: xp.mean(a["stage1"], axis=(1, 2, 3)), size=32, steps=2), "Functions"),
        (lambda net: ph.render(net, ph.logit(0), size=32, steps=2, rule=Redirected(2.0)), "recipe.rule.*rule="),
        (
            lambda net: ph.render(
                net,
                ph.logit(0),
                size=32,
                steps=2,
                parameterization=ph.parameterizations.perturbation(np.full((32, 32, 3), 0.5), 1.0),
            ),
            "recipe.parameterization.*images",
        ),
    ],
)
def test_what_is_not_in_the_file_is_asked_for(make: Callable[[Network], Any], message: str, load: Load) -> None:
    first = make(load("specimen", "torch"))
    with pytest.raises(errors.InvalidParameter, match=message):
        replay(first)


def picture(text: Any, place: Path) -> Path:
    info = PngInfo()
    info.add_itxt("phosphene", text if isinstance(text, str) else json.dumps(text), zip=True)
    Image.new("RGB", (8, 8)).save(place, "PNG", pnginfo=info)
    return place


def good(load: Load) -> dict[str, Any]:
    found = ph.render(load("specimen", "torch"), ph.channel("stage1", 1), size=16, steps=1, progress=False)
    return dict(json.loads(json.dumps(found.settings)))


def put(settings: Mapping[str, Any], path: str, value: Any) -> Any:
    """The settings with another value at one place."""
    key, _, rest = path.partition(".")
    return {**settings, key: put(settings[key], rest, value) if rest else value}


@pytest.mark.parametrize(
    ("path", "value"),
    [
        *((path, value) for path in ("run", "run.recipe") for value in (None, [], "x", 3, {}, {"kind": "adam"})),
        *(("run.size", value) for value in ([10**6, 10**6], [4097, 2], [1, 1], ["32", 32], [32], 32, [32.0, 32], None)),
        *(("run.steps", value) for value in (100_001, 0, -1, "3", True, None, 1.0, float("nan"), 10**400)),
        *(("run.seed", value) for value in (-1, "0", None, 2**128, float("inf"))),
        *(("run.warm_up", value) for value in (-1, 10**9, "a")),
        *(("run.patience", value) for value in (0, "a", 1.5)),
        *(("run.slots", value) for value in (0, "all", [1])),
        *(("run.widths", value) for value in (None, [0], ["1"], [[1]])),
        *(("run.preset", value) for value in ("../../etc", None, "lucit", ["default"])),
        *(("run.views", value) for value in (0, 2, "1")),
        *(("run.crop", value) for value in (0, "yes", None)),
        *(("run.start", value) for value in (True, None, "x")),
        ("run.objectives", []),
        ("run.objectives", [{"kind": "layer", "layer": "stage1"}] * 10_001),
        ("run.objectives", [{"kind": "os.system", "layer": "echo"}]),
        ("run.objectives", [{"kind": "channel", "layer": "__import__('os')", "channel": 1}]),
        ("run.objectives", [{"kind": "channel", "layer": "stage1", "channel": 10**9}]),
        ("run.objectives", [{"kind": "neuron", "layer": "stage1", "channel": 1, "at": [2**31 - 1, 0]}]),
        ("run.objectives", [{"kind": "direction", "layer": "stage1", "vector": [1.0]}]),
        ("run.objectives", [{"kind": "logit", "wanted": "/etc/passwd"}]),
        ("run.recipe.transforms", [{"kind": "jitter", "pixels": 10**9}]),
        ("run.recipe.transforms", [{"kind": "flip"}] * 101),
        ("run.recipe.parameterization", {"kind": "phosphene_torch:backend"}),
        ("run.recipe.regularizers", [{"kind": "blur", "sigma": 1.0}]),
        ("run.recipe.optimizer", {"kind": "torch.optim.Adam", "learning_rate": 0.1}),
        ("run.recipe.rule", "os.system"),
        ("run.other", 1),
        *(("network", value) for value in ("os:system", "/etc/passwd", None, 3, ["specimen"], "specimen/../x")),
        *(("backend", value) for value in ("antigravity", None, ["torch"], "jax " * 100)),
        *(("dtype", value) for value in ("object", None, 32)),
    ],
)
def test_no_setting_is_believed(path: str, value: Any, load: Load, tmp_path: Path) -> None:
    before = set(sys.modules)
    place = picture({"settings": put(good(load), path, value)}, tmp_path / "x.png")
    with pytest.raises((errors.CorruptFile, errors.InvalidParameter)):
        replay(place)
    assert not {"antigravity", "this"} & (set(sys.modules) - before)


def test_every_missing_key_is_named(load: Load) -> None:
    settings = good(load)
    whole = ph.Renders(
        *[np.zeros((1, 2, 2, 3), np.float32)] * 3, ("a",), ("budget",), *[np.zeros(1, np.int64)] * 2, {}, {}
    )
    for key in settings["run"]:
        run = {name: value for name, value in settings["run"].items() if name != key}
        with pytest.raises(errors.InvalidParameter, match=f"run.{key}: expected a value, got none"):
            replay(replace(whole, settings={**settings, "run": run}))
    with pytest.raises(errors.InvalidParameter, match="pictures that ph"):
        replay(whole)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "null",
        "[]",
        "3",
        "{}",
        '{"settings": 3}',
        '{"settings": null}',
        '{"settings": {"run": ',
        "[" * 100_000,
        '{"settings": {"run": ' + "[" * 900 + "]" * 900 + "}}",
        '{"settings": {"run": ' + "9" * 5000 + "}}",
        '{"settings":' * 5000,
        "NaN",
        "\ud800",
    ],
)
def test_metadata_that_are_none(text: str, tmp_path: Path) -> None:
    with pytest.raises((errors.CorruptFile, errors.InvalidParameter)):
        replay(picture(text.encode("utf-8", "replace").decode(), tmp_path / "x.png"))


def chunk(kind: bytes, content: bytes) -> bytes:
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))


def archive(place: Path, name: str, content: bytes) -> Path:
    with zipfile.ZipFile(place, "w", zipfile.ZIP_DEFLATED) as opened:
        opened.writestr(name, content)
    return place


def npy(value: Any) -> bytes:
    buffer = io.BytesIO()
    np.save(buffer, value)
    return buffer.getvalue()


def test_files_made_to_do_harm(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    signature = b"\x89PNG\r\n\x1a\n"
    huge = chunk(b"IHDR", struct.pack(">IIBBBBB", 2**31 - 1, 2**31 - 1, 8, 2, 0, 0, 0))
    small = chunk(b"IHDR", struct.pack(">IIBBBBB", 8, 8, 8, 2, 0, 0, 0))
    bomb = chunk(b"iTXt", b"phosphene\0\1\0\0\0" + zlib.compress(b"[" * 50_000_000))
    broken = chunk(b"iTXt", b"phosphene\0\1\0\0\0" + b"not compressed")
    for number, content in enumerate(
        (
            b"",
            signature,
            signature + huge,
            signature + small + bomb,
            signature + small + broken,
            signature[:4],
            b"GIF89a",
        )
    ):
        (tmp_path / f"{number}.png").write_bytes(content)
        with pytest.raises(errors.CorruptFile):
            replay(tmp_path / f"{number}.png")
    claims = npy(np.zeros(3)).replace(b"(3,)", b"(9,)").replace(b"'<f8'", b"'|O8'")
    monkeypatch.setattr(archive_files, "MOST_TEXT", 1 << 14)
    archives = [
        ("metadata.npy", npy(np.asarray("[]"))),
        ("other.npy", npy(np.asarray("{}"))),
        ("metadata.npy", b""),
        ("metadata.npy", npy(np.zeros(3))),
        ("metadata.npy", claims),
        ("metadata.npy", npy(np.asarray("x" * 100_000))),
        ("metadata.npy", npy(np.asarray({"a": 1}, object))),
        ("metadata.npy", npy(np.asarray("{}"))[:-1]),
    ]
    for number, (name, content) in enumerate(archives):
        with pytest.raises(errors.CorruptFile):
            replay(archive(tmp_path / f"{number}.npz", name, content))
    (tmp_path / "x.npz").write_bytes(b"PK\3\4 nothing")
    with pytest.raises(errors.CorruptFile):
        replay(tmp_path / "x.npz")
    with pytest.raises(errors.CorruptFile):
        replay(tmp_path)
    with pytest.raises(FileNotFoundError):
        replay(tmp_path / "nothing.png")
