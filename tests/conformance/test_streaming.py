"""Activations streamed into a store: the same as in memory, from wherever the images are, and the same after a kill."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

import phosphene as ph
from phosphene import errors
from phosphene.backend import Network
from phosphene.data import Crops
from phosphene.store import Store

pytest.importorskip("zarr")
CROPS = Crops(10, seed=5)
LAYERS = ["stage2", "output"]


def _pictures(folder: Path, count: int = 5) -> Path:
    folder.mkdir()
    for index in range(count):
        pixels = np.round(255 * CROPS[index][0]).astype(np.uint8)
        Image.fromarray(pixels).save(folder / f"{index:02d}.png")
    return folder


def test_a_store_holds_what_memory_would(specimen: Network, tmp_path: Path) -> None:
    images = CROPS.images()
    wanted = ph.activations(specimen, images, LAYERS, batch=4)
    store = ph.activations(specimen, images, LAYERS, out=tmp_path / "s", batch=4)
    assert store.complete and store.names == tuple(LAYERS)
    for layer in LAYERS:
        np.testing.assert_array_equal(store.read(layer), wanted[layer])
    half = ph.activations(specimen, images, "stage2", out=tmp_path / "half", batch=4, dtype="float16")
    assert half.read("stage2").dtype == np.float16
    np.testing.assert_allclose(half.read("stage2"), wanted["stage2"], rtol=1e-3, atol=1e-4)


def test_images_from_everywhere(specimen: Network, tmp_path: Path) -> None:
    folder = _pictures(tmp_path / "pictures")
    (tmp_path / "list.txt").write_text("# some\n" + "\n".join(f"pictures/{index:02d}.png" for index in range(5)))
    pixels = np.stack([np.asarray(Image.open(path)) for path in sorted(folder.iterdir())])
    wanted = ph.activations(specimen, pixels.astype(np.float32) / 255, "output")["output"]
    sources: list[Any] = [
        folder,
        str(tmp_path / "list.txt"),
        sorted(folder.iterdir()),
        pixels,
        [(image, 0) for image in pixels / 255.0],
    ]
    with ThreadPoolExecutor(2) as executor:
        for number, source in enumerate(sources):
            store = ph.activations(specimen, source, "output", out=tmp_path / str(number), executor=executor)
            np.testing.assert_allclose(store.read("output"), wanted, atol=1e-5)
    store = ph.activations(specimen, iter(pixels), "output", out=tmp_path / "iterable", count=5)
    np.testing.assert_allclose(store.read("output"), wanted, atol=1e-5)
    np.testing.assert_allclose(ph.activations(specimen, folder, "output")["output"], wanted, atol=1e-5)
    assert ph.activations(specimen, "photos:3", "output")["output"].shape == (3, 18)


def test_a_run_that_is_stopped_goes_on(specimen: Network, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import phosphene.extraction.collection as collecting

    monkeypatch.setattr(collecting, "SHARD_BYTES", 1)
    images, calls = CROPS.images(), []

    def stop_after_two(state: ph.Progress) -> bool:
        calls.append(state)
        return len(calls) < 3

    part = ph.activations(specimen, images, "output", out=tmp_path / "s", batch=2, progress=stop_after_two)
    assert part.missing == [2, 3, 4] and calls[0].total == 10 and calls[0].unit == "images"
    whole = ph.activations(specimen, images, "output", out=tmp_path / "s", batch=2)
    assert whole.complete
    np.testing.assert_array_equal(whole.read("output"), ph.activations(specimen, images, "output", batch=2)["output"])


def test_damage_is_rebuilt(specimen: Network, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    store = ph.activations(specimen, CROPS, "output", out=tmp_path / "s", batch=5)
    before = store.read("output")
    chunk = max(
        (path for path in (tmp_path / "s" / "arrays").rglob("*") if path.is_file()),
        key=lambda path: path.stat().st_size,
    )
    content = bytearray(chunk.read_bytes())
    content[-3] ^= 1
    chunk.write_bytes(content)
    with pytest.raises(errors.CorruptStore, match="shard 0 of 'output' is damaged"):
        Store.open(tmp_path / "s").read("output")
    again = ph.activations(specimen, CROPS, "output", out=tmp_path / "s", batch=5)
    np.testing.assert_array_equal(again.read("output"), before)
    assert "shard 0" in caplog.text


def test_a_broken_picture_among_good_ones(specimen: Network, tmp_path: Path) -> None:
    folder = _pictures(tmp_path / "pictures")
    (folder / "02.png").write_bytes((folder / "02.png").read_bytes()[:200])
    with pytest.raises(errors.CorruptFile, match=r"02\.png: cannot be read as an image"):
        ph.activations(specimen, folder, "output", out=tmp_path / "s")
    store = ph.activations(specimen, folder, "output", out=tmp_path / "s", on_error="skip")
    assert store.rows().tolist() == [0, 1, 3, 4] and store.read("output").shape == (4, 18)
    assert ph.activations(specimen, folder, "output", on_error="skip")["output"].shape == (4, 18)


def test_a_decompression_bomb_is_not_opened(specimen: Network, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = _pictures(tmp_path / "pictures", 1)
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 64)
    with pytest.raises(errors.CorruptFile, match="decompression bomb"):
        ph.activations(specimen, folder, "output")


def test_a_store_of_another_model_is_refused(specimen: Network, tmp_path: Path) -> None:
    ph.activations(specimen, CROPS, "output", out=tmp_path / "s")
    other = specimen.with_weights(lambda path, array: array * 1.5 if path.startswith("head") else array)
    with pytest.raises(errors.OtherStore, match="its model is"):
        ph.activations(other, CROPS, "output", out=tmp_path / "s")
    with pytest.raises(errors.OtherStore, match="its data is"):
        ph.activations(specimen, Crops(10, seed=6), "output", out=tmp_path / "s")
    with pytest.raises(errors.OtherStore, match="its arrays is"):
        ph.activations(specimen, CROPS, "stage3", out=tmp_path / "s")


@pytest.mark.parametrize(
    ("images", "message"),
    [
        ("nowhere", "Nothing exists at that path"),
        (iter([1]), "The length of an iterable is unknown: give count=1000"),
        (
            [np.zeros((64, 64, 3)), np.zeros((32, 64, 3))],
            "expected 64 x 64 pixels, like the images before it, got 32 x 64",
        ),
        (np.full((2, 64, 64, 3), 2.0), r"values in \[0, 1\]"),
        (np.zeros((2, 64, 64, 4)), r"expected shape \(H, W, 3\)"),
    ],
)
def test_images_that_cannot_be(load: Any, tmp_path: Path, images: Any, message: str) -> None:
    with pytest.raises(errors.PhospheneError, match=message):
        ph.activations(load("specimen", "torch"), images, "output", out=tmp_path / "s")


def test_an_empty_folder_and_a_list_that_names_nothing(load: Any, tmp_path: Path) -> None:
    network = load("specimen", "torch")
    (tmp_path / "empty").mkdir()
    with pytest.raises(errors.InvalidParameter, match="It holds no images"):
        ph.activations(network, tmp_path / "empty", "output", out=tmp_path / "s")
    (tmp_path / "list.txt").write_text("gone.png\n")
    with pytest.raises(errors.InvalidParameter, match=r"It lists .*gone\.png, which is not a file"):
        ph.activations(network, tmp_path / "list.txt", "output", out=tmp_path / "s")


@pytest.mark.slow
def test_killed_ten_times_the_store_is_the_same(tmp_path: Path) -> None:
    script = textwrap.dedent("""
        import sys
        import phosphene as ph
        import phosphene.extraction.collection as collecting
        collecting.SHARD_BYTES = 2 << 20
        network = ph.load("specimen", backend="torch")
        print("ready", flush=True)
        ph.activations(network, "photos:4000:3", ["stage3", "output"], out=sys.argv[1], batch=32, progress=False)
        print("done", flush=True)
    """)
    random, kills = np.random.default_rng(1), 0

    def run(folder: Path) -> Any:
        found = subprocess.Popen(
            [sys.executable, "-c", script, str(folder)], stdout=subprocess.PIPE, env={**os.environ}
        )
        assert found.stdout is not None and found.stdout.readline() == b"ready\n"
        return found

    for _ in range(60):
        running = run(tmp_path / "killed")
        if kills < 10:
            time.sleep(float(random.uniform(0.1, 1.0)))
            if running.poll() is None:
                running.send_signal(signal.SIGKILL)
                kills += 1
                running.wait()
                continue
        assert running.stdout.readline() == b"done\n"
        break
    assert run(tmp_path / "whole").wait() == 0
    killed, whole = Store.open(tmp_path / "killed"), Store.open(tmp_path / "whole")
    assert kills == 10 and killed.complete and killed.verify() == []
    for name in killed.names:
        np.testing.assert_array_equal(killed.read(name), whole.read(name))
