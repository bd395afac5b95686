"""Bad files and bad disks: named, counted, never half written; and memory that does not grow with the number of images."""

from __future__ import annotations

import errno
import json
import multiprocessing
import os
import shutil
import subprocess
import sys
import threading
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

import phosphene as ph
from phosphene import errors
from phosphene.attribution.call import attribute
from phosphene.backend import InputSpec, Network
from phosphene.data import Crops
from phosphene.data.source import AHEAD, Source
from phosphene.data.sources import source_of
from phosphene.data.streams import stream
from phosphene.store import Store

pytest.importorskip("zarr")
CROPS = Crops(12, seed=5)


def photographs(folder: Path, count: int = 6, ending: str = ".jpg") -> Path:
    folder.mkdir()
    for index in range(count):
        Image.fromarray(np.round(255 * CROPS[index][0]).astype(np.uint8)).save(
            folder / f"{index:02d}{ending}", quality=95
        )
    return folder


@pytest.fixture
def small_shards(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("phosphene.extraction.collection.SHARD_BYTES", 1)


def test_broken_jpegs_are_named_and_counted(
    specimen: Network, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    folder = photographs(tmp_path / "p")
    (folder / "01.jpg").write_bytes((folder / "01.jpg").read_bytes()[:400])
    (folder / "04.jpg").write_bytes(b"no picture")
    with pytest.raises(errors.CorruptFile, match=r"01\.jpg: cannot be read as an image .*on_error='skip'"):
        ph.activations(specimen, folder, "output")
    for out in (None, tmp_path / "s"):
        caplog.clear()
        found = ph.activations(specimen, folder, "output", on_error="skip", out=out)
        assert "01.jpg" in caplog.text and "04.jpg" in caplog.text
        assert "2 of 6 images could not be read and were skipped" in caplog.text
    assert found.rows().tolist() == [0, 2, 3, 5]
    memory = ph.activations(specimen, folder, "output", on_error="skip")["output"]
    np.testing.assert_allclose(memory, found.read("output"), atol=1e-5)
    with pytest.raises(errors.InvalidParameter, match="on_error: expected 'raise' or 'skip', got 'ignore'"):
        ph.activations(specimen, folder, "output", on_error="ignore")


def test_a_folder_in_which_nothing_can_be_read(specimen: Network, tmp_path: Path) -> None:
    folder = photographs(tmp_path / "p", 3)
    for path in folder.iterdir():
        path.write_bytes(b"no picture")
    with pytest.raises(errors.CorruptFile, match="cannot be read, and neither can any other of the 3 images"):
        ph.activations(specimen, folder, "output", on_error="skip")


@pytest.mark.filterwarnings("ignore::UserWarning:PIL")
@pytest.mark.parametrize("ending", [".jpg", ".png", ".gif", ".bmp", ".tif", ".webp"])
def test_whatever_is_wrong_with_a_file_it_is_one_error(tmp_path: Path, ending: str) -> None:
    folder = photographs(tmp_path / "p", 1, ending)
    whole = next(folder.iterdir()).read_bytes()
    random = np.random.default_rng(0)
    for trial in range(40):
        content = bytearray(whole[: int(random.integers(len(whole)))] if trial % 2 else whole)
        for place in random.integers(len(content) or 1, size=20 if content else 0):
            content[place] = int(random.integers(256))
        next(folder.iterdir()).write_bytes(content)
        source = source_of(folder, InputSpec((32, 32)))
        found = list(
            stream(source, (32, 32), 3, 1, on_error="skip")
        )  # another exception than CorruptFile comes through
        assert len(found) == 1 and np.isfinite(found[0][0]).all()


def test_a_decompression_bomb_is_named_and_can_be_skipped(
    specimen: Network, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = photographs(tmp_path / "p", 3)
    Image.new("1", (2000, 2000)).save(folder / "01.png")
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 1_000_000)
    with pytest.raises(errors.CorruptFile, match=r"01\.png: too large .*decompression bomb.*on_error='skip'"):
        ph.activations(specimen, folder, "output")
    assert ph.activations(specimen, folder, "output", on_error="skip")["output"].shape == (3, 18)


def test_files_of_any_size_are_brought_to_one_and_arrays_must_have_one(specimen: Network, tmp_path: Path) -> None:
    folder = photographs(tmp_path / "p", 1, ".png")
    wide = np.zeros((64, 128, 3), np.uint8)
    wide[:, 32:96] = np.asarray(Image.open(folder / "00.png"))
    Image.fromarray(wide).save(folder / "01.png")  # its central square is the first picture
    Image.fromarray(wide).convert("L").resize((31, 17)).save(folder / "02.png")
    found = ph.activations(specimen, folder, "output")["output"]
    assert found.shape == (3, 18)
    np.testing.assert_allclose(found[1], found[0], atol=1e-5)
    ragged = [np.zeros((64, 64, 3)), np.zeros((64, 48, 3))]
    message = r"image 1: expected 64 x 64 pixels, like the images before it, got 64 x 48\. .*fit=\"crop\""
    with pytest.raises(errors.InvalidImages, match=message):
        ph.activations(specimen, ragged, "output")
    with pytest.raises(errors.InvalidImages, match=message):
        attribute(specimen, ragged, 0)  # type: ignore[arg-type]
    with pytest.raises(
        errors.InvalidImages, match="image 1: expected 64 x 64 pixels, like the images before it, got 64 x 48"
    ):
        ph.activations(specimen, ragged, "output", out=tmp_path / "s")


@pytest.mark.parametrize(
    ("call", "message"),
    [
        ({"target": 18}, "no class 18: the network has 18 classes, numbered 0 to 17"),
        ({"target": -1}, "no class -1: the network has 18 classes, numbered 0 to 17"),
        ({"target": "gravle"}, "no class 'gravle'. Did you mean 'gravel'"),
        (
            {"target": 3, "layer": "head"},
            "layer: expected a layer with positions for method='gradcam', got 'head', whose axes are channel",
        ),
        ({"target": 3, "layer": "stage9"}, "no layer 'stage9'.*Did you mean"),
    ],
)
def test_targets_and_layers_that_cannot_be(specimen: Network, call: dict[str, Any], message: str) -> None:
    with pytest.raises(errors.InvalidParameter, match=message):
        attribute(specimen, CROPS.images(0, 1), call["target"], layer=call.get("layer"))


@pytest.mark.parametrize("where", ["chunk", "receipt"])
def test_a_disk_that_fills_up_loses_nothing(
    specimen: Network, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, small_shards: None, where: str
) -> None:
    import phosphene.store.receipt as receipt

    wanted = ph.activations(specimen, CROPS.images(), "output", batch=4)["output"]
    full = OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    with monkeypatch.context() as patch:
        if where == "chunk":
            import zarr.storage._local as local

            put, written = local._put, []

            def refuse(path: Path, *given: Any, **more: Any) -> Any:
                if path.name != "zarr.json":
                    written.append(path)
                    if len(written) > 1:
                        path.parent.mkdir(parents=True, exist_ok=True)
                        path.write_bytes(b"half")  # what a disk that is full may leave
                        raise full
                return put(path, *given, **more)

            patch.setattr(local, "_put", refuse)
        else:
            write, receipts = receipt.write_whole, []

            def refuse_receipt(path: Path, content: bytes) -> None:
                receipts.append(path)
                if len(receipts) > 1:
                    raise errors.UnwritablePath(str(path), full.strerror) from full
                write(path, content)

            patch.setattr(receipt, "write_whole", refuse_receipt)
        with pytest.raises(
            errors.UnwritablePath, match=r"No space left on device \(at shard 1 of 3\).*run again to resume"
        ):
            ph.activations(specimen, CROPS, "output", out=tmp_path / "s", batch=4)
    part = Store.open(tmp_path / "s")
    assert part.missing == [1, 2] and part.verify() == []
    np.testing.assert_array_equal(part.shard("output", 0), wanted[:4])
    whole = ph.activations(specimen, CROPS, "output", out=tmp_path / "s", batch=4)
    np.testing.assert_array_equal(whole.read("output"), wanted)


def test_a_disk_that_is_full_from_the_start(tmp_path: Path, load: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    import zarr

    network = load("specimen", "torch")

    def refuse(*given: Any, **more: Any) -> Any:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as patch:
        patch.setattr(zarr, "create_array", refuse)
        with pytest.raises(errors.UnwritablePath, match="No space left on device"):
            ph.activations(network, CROPS, "output", out=tmp_path / "s")
    # What was begun and never had a manifest is no obstacle; what somebody else put there is.
    assert ph.activations(network, CROPS, "output", out=tmp_path / "s").complete
    (tmp_path / "t" / "arrays").mkdir(parents=True)
    (tmp_path / "t" / "arrays" / "mine.npy").write_bytes(b"years of work")
    with pytest.raises(errors.UnwritablePath, match="holds files that do not belong to a store"):
        ph.activations(network, CROPS, "output", out=tmp_path / "t")
    assert (tmp_path / "t" / "arrays" / "mine.npy").exists()


LIMITED = """
import resource, signal, sys
import numpy as np
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
from phosphene.store import ArraySpec, Manifest, Store
from phosphene.errors import UnwritablePath
rows = np.random.default_rng(0).standard_normal((24, 50000)).astype(np.float32)
rows[:8] = 0
manifest = Manifest("activations", 24, 8, {"a": ArraySpec((50000,))}, {"model": "m"})
if sys.argv[2] == "limited":
    resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 20, 1 << 20))
store = Store.create(sys.argv[1], manifest)
for shard in store.missing:
    try:
        store.write(shard, {"a": rows[8 * shard : 8 * shard + 8]})
    except UnwritablePath as error:
        print(shard, error)
        sys.exit(3)
assert np.array_equal(store.read("a"), rows)
"""


def test_a_file_system_that_refuses_for_real(tmp_path: Path) -> None:
    pytest.importorskip("resource")

    def run(how: str) -> Any:
        return subprocess.run(
            [sys.executable, "-c", LIMITED, str(tmp_path / "s"), how], capture_output=True, text=True, check=False
        )

    limited = run("limited")
    assert limited.returncode == 3, limited.stderr
    assert "1 cannot write" in limited.stdout and "File too large" in limited.stdout
    store = Store.open(tmp_path / "s")
    assert store.missing == [1, 2] and store.verify() == []
    assert not list((tmp_path / "s").rglob("*.partial"))
    again = run("free")
    assert again.returncode == 0, again.stderr


def test_a_flipped_bit_anywhere_is_found_and_mended(
    specimen: Network, tmp_path: Path, small_shards: None, caplog: pytest.LogCaptureFixture
) -> None:
    def made() -> Store:
        return ph.activations(specimen, CROPS, ["stage3", "output"], out=tmp_path / "s", batch=6)

    wanted = {name: made().read(name) for name in ("stage3", "output")}
    shutil.copytree(tmp_path / "s", tmp_path / "whole")
    chunks = [path for path in (tmp_path / "s" / "arrays").rglob("*") if path.is_file() and path.name != "zarr.json"]
    assert len(chunks) == 4
    random = np.random.default_rng(0)
    for path in chunks:
        content = bytearray(path.read_bytes())
        content[int(random.integers(len(content)))] ^= 1 << int(random.integers(8))
        path.write_bytes(content)
        caplog.clear()
        assert len(Store.open(tmp_path / "s").verify()) == 1
        again = made()
        assert "is damaged and will be computed again" in caplog.text
        for name, values in wanted.items():
            np.testing.assert_array_equal(again.read(name), values)
    receipt = tmp_path / "s" / "shards" / "000001.json"
    receipt.write_text(json.dumps({**json.loads(receipt.read_text()), "digests": {}}))
    with pytest.raises(errors.CorruptStore, match="000001"):
        Store.open(tmp_path / "s").read("output")
    np.testing.assert_array_equal(made().read("output"), wanted["output"])


def test_a_store_of_another_model_is_refused_with_the_way_out(specimen: Network, tmp_path: Path) -> None:
    ph.activations(specimen, CROPS, "output", out=tmp_path / "s")
    before = {path: path.read_bytes() for path in (tmp_path / "s").rglob("*") if path.is_file()}
    other = specimen.with_weights(lambda path, array: array * 2 if path.startswith("head") else array)
    with pytest.raises(errors.OtherStore, match=r"out: .* its model is .* Choose another folder, or delete that one"):
        ph.activations(other, CROPS, "output", out=tmp_path / "s")
    assert before == {path: path.read_bytes() for path in (tmp_path / "s").rglob("*") if path.is_file()}


def test_an_iterator_goes_on_where_it_was(load: Any, tmp_path: Path, small_shards: None) -> None:
    network, images = load("specimen", "torch"), CROPS.images()
    wanted = ph.activations(network, images, "output", batch=4)["output"]

    def made(store: Path) -> Store:
        return ph.activations(network, iter(images), "output", out=store, batch=4, count=12)

    made(tmp_path / "s").discard(1)
    np.testing.assert_array_equal(made(tmp_path / "s").read("output"), wanted)
    both = made(tmp_path / "s")
    both.discard(0), both.discard(2)
    np.testing.assert_array_equal(made(tmp_path / "s").read("output"), wanted)


class Counted(Source):
    """Images that say how many of them were read."""

    def __init__(self, count: int) -> None:
        self.count, self.read, self.lock = count, 0, threading.Lock()

    def __len__(self) -> int:
        return self.count

    def image(self, index: int) -> Any:
        with self.lock:
            self.read += 1
        return np.full((4, 4, 1), index / self.count)

    def identity(self) -> str:
        return "counted"


def test_an_executor_does_not_read_far_ahead() -> None:
    source = Counted(4000)
    with ThreadPoolExecutor(4) as executor:
        pieces = stream(source, (4, 4), 1, 10, executor=executor)
        for number in range(20):
            whole, good = next(pieces)
            assert good.all()
            np.testing.assert_allclose(whole[:, 0, 0, 0], (np.arange(10) + 10 * number) / 4000, atol=1e-6)
            assert source.read <= 10 * (number + 1) + AHEAD
        pieces.close()
    assert source.read < 1000


def test_other_processes_may_read(tmp_path: Path) -> None:
    folder = photographs(tmp_path / "p", 4)
    (folder / "02.jpg").write_bytes(b"no picture")
    source = source_of(folder, InputSpec((32, 32)))
    with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as executor:
        (found, good), *rest = stream(source, (32, 32), 3, 8, executor=executor, on_error="skip")
    (wanted, _), *_ = stream(source, (32, 32), 3, 8, on_error="skip")
    assert not rest and good.tolist() == [True, True, False, True]
    np.testing.assert_array_equal(found, wanted)


@pytest.mark.parametrize(
    "harm", ["receipt", "rows of a receipt", "chunk", "no chunk", "description", "no description", "pipe"]
)
def test_what_is_damaged_is_rebuilt_by_the_call_that_wrote_it(
    specimen: Network, tmp_path: Path, small_shards: None, harm: str
) -> None:
    def call() -> Store:
        return ph.activations(specimen, CROPS, ["stage1", "output"], out=tmp_path / "s", batch=4, progress=False)

    truth = {name: call().read(name) for name in ("stage1", "output")}
    receipt, array = tmp_path / "s" / "shards" / "000001.json", tmp_path / "s" / "arrays" / "output"
    chunk = next(path for path in (array / "c" / "1").rglob("*") if path.is_file())
    written = {path: path.stat().st_mtime_ns for path in (tmp_path / "s").rglob("*") if path.is_file()}
    if harm == "receipt":
        receipt.write_text("{")
    elif harm == "rows of a receipt":
        receipt.write_text(json.dumps({**json.loads(receipt.read_text()), "kept": [0, 1]}))
    elif harm == "chunk":
        chunk.write_bytes(chunk.read_bytes()[:-9] + bytes(9))
    elif harm == "no chunk":
        chunk.unlink()
    elif harm == "description":
        (array / "zarr.json").write_text((array / "zarr.json").read_text().replace("float32", "float64"))
    elif harm == "no description":
        (array / "zarr.json").unlink()
    else:
        receipt.unlink()
        os.mkfifo(receipt)
    again = call()
    assert again.complete and again.verify() == []
    for name, values in truth.items():
        np.testing.assert_array_equal(Store.open(tmp_path / "s").read(name), values)
    others = {
        path for path in written if path.stem in ("000000", "000002") or "/c/0/" in str(path) or "/c/2/" in str(path)
    }
    assert others and all(path.stat().st_mtime_ns == written[path] for path in others)  # nothing else was written again


def test_a_finished_store_in_a_folder_that_cannot_be_written_is_returned(
    specimen: Network, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = ph.activations(specimen, CROPS, "output", out=tmp_path / "s", progress=False).read("output")

    def refuse(*_: object, **__: object) -> None:
        raise PermissionError(errno.EROFS, "read-only file system")

    for name in ("tempfile.mkstemp", "tempfile.TemporaryFile", "os.replace", "os.rename", "os.mkdir", "os.unlink"):
        monkeypatch.setattr(name, refuse)
    again = ph.activations(specimen, CROPS, "output", out=tmp_path / "s", progress=False)
    np.testing.assert_array_equal(again.read("output"), first)
    with pytest.raises(errors.UnwritablePath, match="read-only file system"):
        ph.activations(specimen, CROPS, "output", out=tmp_path / "other", progress=False)
