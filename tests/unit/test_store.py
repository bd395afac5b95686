"""A store: shards go in whole and come out checked; what was killed goes on, and what is damaged is named."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from phosphene.errors import CorruptFile, CorruptStore, InvalidParameter, OtherStore, UnwritablePath
from phosphene.store import ArraySpec, Manifest, Store

pytest.importorskip("zarr")

ARRAYS = {
    "stage2": ArraySpec((3, 4, 5)),
    "head@attention#1": ArraySpec((2,), "float16"),
    "index": ArraySpec((), "int64"),
}


def manifest(**changes: object) -> Manifest:
    given = {
        "kind": "activations",
        "rows": 10,
        "shard_rows": 4,
        "arrays": ARRAYS,
        "identity": {"model": "a"},
        **changes,
    }
    return Manifest(**given)  # type: ignore[arg-type]


def values(shard: int, rows: int) -> dict[str, np.ndarray]:
    random = np.random.default_rng(shard)
    made = {name: random.standard_normal((rows, *spec.shape)).astype(spec.dtype) for name, spec in ARRAYS.items()}
    return {**made, "index": np.arange(rows) + 4 * shard}


def filled(folder: Path) -> Store:
    store = Store.create(folder, manifest())
    for shard, rows in enumerate((4, 4, 2)):
        store.write(shard, values(shard, rows))
    return store


def test_what_goes_in_comes_out(tmp_path: Path) -> None:
    filled(tmp_path / "s")
    store = Store.open(tmp_path / "s")
    assert store.complete and store.names == tuple(ARRAYS)
    for name in ARRAYS:
        whole = np.concatenate([values(shard, rows)[name] for shard, rows in enumerate((4, 4, 2))])
        np.testing.assert_array_equal(store.read(name), whole)
        np.testing.assert_array_equal(store.read(name, 3, 9), whole[3:9])
        np.testing.assert_array_equal(np.concatenate(list(store.shards(name))), whole)
        assert store.read(name).dtype == whole.dtype
    assert store.rows().tolist() == list(range(10))


def test_any_zarr_reader_opens_it(tmp_path: Path) -> None:
    import zarr

    filled(tmp_path / "s")
    array = zarr.open_array(tmp_path / "s" / "arrays" / "stage2", mode="r")
    np.testing.assert_array_equal(array[4:8], values(1, 4)["stage2"])


def test_rows_without_data_are_never_read(tmp_path: Path) -> None:
    store = Store.create(tmp_path / "s", manifest())
    for shard, rows in enumerate((4, 4, 2)):
        store.write(shard, values(shard, rows), kept=[0, 2, 3] if shard == 1 else None)
    assert store.rows().tolist() == [0, 1, 2, 3, 4, 6, 7, 8, 9]
    assert store.read("index").tolist() == [0, 1, 2, 3, 4, 6, 7, 8, 9]
    assert store.read("index", 5, 7).tolist() == [6, 7]


def test_a_store_goes_on_where_it_was(tmp_path: Path) -> None:
    store = Store.create(tmp_path / "s", manifest())
    store.write(1, values(1, 4))
    again = Store.create(tmp_path / "s", manifest(notes={"date": "later"}))
    assert again.missing == [0, 2] and not again.complete
    np.testing.assert_array_equal(again.shard("stage2", 1), values(1, 4)["stage2"])
    with pytest.raises(InvalidParameter, match="is not complete: run the call that wrote it again to resume"):
        again.read("stage2")


@pytest.mark.parametrize(
    ("changes", "key"),
    [({"identity": {"model": "b"}}, "model"), ({"rows": 11}, "rows"), ({"arrays": {"x": ArraySpec((1,))}}, "arrays")],
)
def test_other_work_is_refused(tmp_path: Path, changes: dict[str, object], key: str) -> None:
    filled(tmp_path / "s")
    with pytest.raises(OtherStore, match=f"its {key} is .* Choose another folder, or delete that one"):
        Store.create(tmp_path / "s", manifest(**changes))


def test_a_later_format_a_damaged_manifest_and_no_store_at_all(tmp_path: Path) -> None:
    filled(tmp_path / "s")
    path = tmp_path / "s" / "manifest.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "format": 99}))
    with pytest.raises(OtherStore, match="written in format 99, but this version of phosphene reads formats up to 1"):
        Store.open(tmp_path / "s")
    path.write_text("{")
    with pytest.raises(CorruptFile, match="damaged"):
        Store.open(tmp_path / "s")
    with pytest.raises(CorruptFile, match=r"not a store: it has no manifest\.json"):
        Store.open(tmp_path)
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "thesis.txt").write_text("years of work")
    with pytest.raises(UnwritablePath, match="holds files that do not belong to a store"):
        Store.create(tmp_path / "other", manifest())


@pytest.mark.parametrize("how", ["flipped", "missing", "truncated", "stale"])
def test_a_damaged_shard_is_named_and_never_read(tmp_path: Path, how: str) -> None:
    store = filled(tmp_path / "s")
    chunk = next(
        path for path in (tmp_path / "s" / "arrays" / "stage2").rglob("*") if path.is_file() and "/1/" in f"{path}/"
    )
    content = bytearray(chunk.read_bytes())
    if how == "flipped":
        content[len(content) // 2] ^= 4
        chunk.write_bytes(content)
    elif how == "truncated":
        chunk.write_bytes(content[: len(content) // 2])
    elif how == "missing":
        chunk.unlink()
    else:
        store._array("stage2", "r+")[4:8] = 7.0  # another writer, who left no receipt
    again = Store.open(tmp_path / "s")
    with pytest.raises(CorruptStore, match="shard 1 of 'stage2' is damaged"):
        again.read("stage2")
    np.testing.assert_array_equal(again.read("stage2", 0, 4), values(0, 4)["stage2"])
    assert again.verify() == [1]
    again.discard(1)
    assert again.missing == [1]
    again.write(1, values(1, 4))
    np.testing.assert_array_equal(Store.open(tmp_path / "s").read("stage2", 4, 8), values(1, 4)["stage2"])


WRITER = """
import sys, time
sys.path[:0] = [{tests!r}]
from test_store import filled, manifest, values
from phosphene.store import Store
store = Store.create({folder!r}, manifest(rows=4000))
print("ready", flush=True)
for shard in store.missing:
    store.write(shard, values(shard, 4))
print("done", flush=True)
"""


def test_killed_at_any_moment_it_ends_the_same(tmp_path: Path) -> None:
    folder = tmp_path / "s"
    script = WRITER.format(tests=str(Path(__file__).parent), folder=str(folder))
    random = np.random.default_rng(0)
    kills = 0
    for _ in range(40):
        running = subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, env={**os.environ})
        assert running.stdout is not None
        assert running.stdout.readline() == b"ready\n"
        time.sleep(float(random.uniform(0.02, 0.4)))
        if running.poll() is None and kills < 5:
            running.send_signal(signal.SIGKILL)
            kills += 1
            running.wait()
            continue
        assert running.stdout.readline() == b"done\n"
        break
    store = Store.open(folder)
    assert store.complete and store.verify() == [] and kills >= 1
    for shard in (0, 500, 999):
        np.testing.assert_array_equal(store.shard("stage2", shard), values(shard, 4)["stage2"])


def test_arrays_that_do_not_fit_are_refused(tmp_path: Path) -> None:
    store = Store.create(tmp_path / "s", manifest())
    with pytest.raises(InvalidParameter, match=r"values\['stage2'\]: expected shape \(4, 3, 4, 5\)"):
        store.write(0, {**values(0, 4), "stage2": np.zeros((4, 1))})
    assert store.missing == [0, 1, 2]
    with pytest.raises(InvalidParameter, match="Did you mean 'stage2'"):
        filled(tmp_path / "t").read("stage3")


def chunk_of(folder: Path, name: str, shard: int) -> Path:
    return next(path for path in (folder / "arrays" / name / "c" / str(shard)).rglob("*") if path.is_file())


@pytest.mark.parametrize(
    "changes",
    [
        {"kept": [0, 1]},
        {"kept": [0, 2, 2]},
        {"kept": [0, -1]},
        {"kept": [0, 9]},
        {"kept": [0.0, 1.0]},
        {"kept": "all"},
        {"digests": {}},
        {"digests": {"stage2": 5}},
        {"pixels": "00"},
        {"pixels": 7},
        {"check": "0" * 32},
    ],
)
def test_a_receipt_that_was_changed_is_never_believed(tmp_path: Path, changes: dict[str, object]) -> None:
    store = Store.create(tmp_path / "s", manifest())
    for shard, rows in enumerate((4, 4, 2)):
        store.write(shard, values(shard, rows), kept=[0, 2, 3] if shard == 1 else None, pixels="ab12")
    path = tmp_path / "s" / "shards" / "000001.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))
    again = Store.open(tmp_path / "s")
    for read in (again.rows, lambda: again.read("index"), lambda: again.receipt(1)):
        with pytest.raises(CorruptStore, match=r"000001\.json: damaged.* to rebuild the shard"):
            read()
    assert again.verify() == [1] and again.receipt(0).pixels == "ab12"


def test_a_receipt_keeps_the_digest_of_the_images_and_earlier_receipts_are_read(tmp_path: Path) -> None:
    store = Store.create(tmp_path / "s", manifest())
    store.write(0, values(0, 4), kept=[1, 3], pixels="c0ffee")
    found = Store.open(tmp_path / "s").receipt(0)
    assert found.kept == (1, 3) and found.pixels == "c0ffee" and found.check and found.digests.keys() == ARRAYS.keys()
    path = tmp_path / "s" / "shards" / "000000.json"
    path.write_text(json.dumps({"kept": [1, 3], "digests": dict(found.digests)}))  # as earlier versions wrote it
    found = Store.open(tmp_path / "s").receipt(0)
    assert found.kept == (1, 3) and found.pixels is None and found.check is None
    with pytest.raises(InvalidParameter, match="pixels: expected 16 hexadecimal digits per image"):
        store.write(1, values(1, 4), pixels="no digest")
    with pytest.raises(InvalidParameter, match="kept: expected rows in ascending order"):
        store.write(1, values(1, 4), kept=[2, 1])
    with pytest.raises(InvalidParameter, match="a shard that is written, got 1"):
        store.receipt(1)


@pytest.mark.parametrize(
    "change", [None, {"shape": [10**12, 3, 4, 5]}, {"data_type": "float64"}, {"codecs": []}, {"fill_value": 7}]
)
def test_the_description_of_an_array_is_written_anew_and_its_values_stay(
    tmp_path: Path, change: dict[str, object] | None
) -> None:
    filled(tmp_path / "s")
    path = tmp_path / "s" / "arrays" / "stage2" / "zarr.json"
    before = path.read_bytes()
    path.write_text("{" if change is None else json.dumps({**json.loads(before), **change}))
    with pytest.raises(CorruptStore, match=r"description of the array 'stage2' is damaged .* the values are kept"):
        Store.open(tmp_path / "s")
    again = Store.create(tmp_path / "s", manifest())
    assert path.read_bytes() == before and again.verify() == [] and again.complete
    np.testing.assert_array_equal(again.shard("stage2", 1), values(1, 4)["stage2"])


def test_a_chunk_that_would_unpack_to_more_is_refused_before_it_does(tmp_path: Path) -> None:
    from numcodecs import Zstd

    filled(tmp_path / "s")
    chunk_of(tmp_path / "s", "stage2", 1).write_bytes(Zstd(level=1).encode(bytes(1 << 26)))
    with pytest.raises(CorruptStore, match="would unpack to 67,108,864 bytes instead of 960"):
        Store.open(tmp_path / "s").shard("stage2", 1)


@pytest.mark.parametrize(
    "changes",
    [
        {"rows": 10**15},
        {"rows": -1},
        {"shard_rows": 0},
        {"shard_rows": 5},
        {"rows": 9},
        {"arrays": {"a": {"shape": [-1], "dtype": "float32"}}},
        {"arrays": {"a": {"shape": [2**62, 2**62], "dtype": "float32"}}},
        {"arrays": {"a": {"shape": [], "dtype": "object"}}},
    ],
)
def test_a_manifest_that_does_not_fit_is_refused_before_it_is_followed(
    tmp_path: Path, changes: dict[str, object]
) -> None:
    filled(tmp_path / "s")
    path = tmp_path / "s" / "manifest.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))
    with pytest.raises(CorruptFile):
        Store.open(tmp_path / "s")


def test_a_complete_store_is_only_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    filled(tmp_path / "s")

    def refuse(*_: object, **__: object) -> None:
        raise PermissionError("read-only")

    for name in ("mkstemp", "TemporaryFile", "mkdtemp"):
        monkeypatch.setattr(f"tempfile.{name}", refuse)
    for name in ("replace", "rename", "mkdir", "unlink", "chmod"):
        monkeypatch.setattr(f"os.{name}", refuse)
    store = Store.create(tmp_path / "s", manifest(notes={"date": "later"}))
    assert store.complete and store.missing == [] and store.verify() == []
    np.testing.assert_array_equal(store.read("index", 0, 4), values(0, 4)["index"])
    assert all(array.read_only for array in store._arrays.values())
