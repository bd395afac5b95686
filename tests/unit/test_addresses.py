"""Images at addresses, in archives, shards and files of arrays."""

from __future__ import annotations

import io
import os
import pickle
import sys
import tarfile
import zipfile
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import phosphene as ph
from handed_over import SIZE, encoded, floats, pixels, write_shard
from phosphene.backend import InputSpec
from phosphene.data import file_places
from phosphene.data.addresses import is_address
from phosphene.data.in_memory import read_images
from phosphene.data.shards import expanded
from phosphene.data.sources import source_of
from phosphene.errors import CorruptFile, InvalidParameter, MissingDependency

SPEC = InputSpec(size=SIZE, channels=3)
IMAGES = pixels(2)


@pytest.fixture
def memory() -> Any:
    fsspec = pytest.importorskip("fsspec")
    system = fsspec.filesystem("memory")
    yield system
    system.rm("/", recursive=True)


def zipped(path: Path, **files: bytes) -> Path:
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in files.items():
            archive.writestr(name.replace("_", "/").replace("DOT", "."), content)
    return path


def test_a_folder_at_an_address_is_searched_and_sorted(memory: Any) -> None:
    for name, image in (("b/2.png", IMAGES[1]), ("a/10.png", IMAGES[0])):
        memory.pipe(f"/photos/{name}", encoded(image))
    for name in ("notes.txt", ".hidden.png", "__MACOSX/x.png"):
        memory.pipe(f"/photos/{name}", b"none")
    source = source_of("memory://photos", SPEC)
    assert [source.name(index) for index in range(len(source))] == [
        "memory:///photos/a/10.png",
        "memory:///photos/b/2.png",
    ]
    np.testing.assert_array_equal(read_images("memory://photos", SPEC), floats(IMAGES))
    np.testing.assert_array_equal(read_images("memory://photos/*/*.png", SPEC), floats(IMAGES))
    np.testing.assert_array_equal(read_images("memory://photos/b/2.png", SPEC), floats(IMAGES[1:]))
    np.testing.assert_array_equal(read_images("memory://photos/{a/10,b/2}.png", SPEC), floats(IMAGES))


def test_identity_tells_when_a_file_at_an_address_was_changed(memory: Any) -> None:
    memory.pipe("/photos/a.png", encoded(IMAGES[0]))
    first = source_of("memory://photos", SPEC)
    assert first.of_files and first.identity() == source_of("memory://photos", SPEC).identity()
    memory.pipe("/photos/a.png", encoded(IMAGES[0]))
    assert source_of("memory://photos", SPEC).identity() != first.identity()


def test_an_archive_that_was_written_anew_is_read_anew(tmp_path: Path) -> None:
    pytest.importorskip("fsspec")
    path = zipped(tmp_path / "photos.zip", aDOTpng=encoded(IMAGES[0]))
    before = source_of(path, SPEC).identity()
    np.testing.assert_array_equal(read_images(path, SPEC), floats(IMAGES[:1]))
    zipped(path, aDOTpng=encoded(IMAGES[1]), b_cDOTpng=encoded(IMAGES[0]))
    np.testing.assert_array_equal(read_images(path, SPEC), floats(IMAGES[::-1]))
    np.testing.assert_array_equal(read_images(f"zip://*.png::{path}", SPEC), floats(IMAGES[1:]))
    assert source_of(path, SPEC).identity() != before


def test_images_in_archives_and_in_memory_reach_other_processes(tmp_path: Path, memory: Any) -> None:
    path = zipped(tmp_path / "photos.zip", aDOTpng=encoded(IMAGES[0]), bDOTpng=encoded(IMAGES[1]))
    memory.pipe("/z/photos.zip", path.read_bytes())
    write_shard(tmp_path / "photos.tar", IMAGES)
    memory.pipe("/z/photos.tar", (tmp_path / "photos.tar").read_bytes())
    given = (path, tmp_path / "photos.tar", "zip://*.png::memory://z/photos.zip", "memory://z/photos.tar")
    for place in given:
        source = source_of(place, SPEC)
        for index in range(2):
            alone, row = pickle.loads(pickle.dumps(source.part(index)))
            np.testing.assert_array_equal(alone.image(row), IMAGES[index])
            assert alone.name(row) == source.name(index)


@pytest.mark.slow
def test_another_process_reads_ahead(tmp_path: Path) -> None:
    write_shard(tmp_path / "photos.tar", IMAGES)
    with ProcessPoolExecutor(1, get_context("spawn")) as executor:
        np.testing.assert_array_equal(read_images(tmp_path / "photos.tar", SPEC, executor=executor), floats(IMAGES))


@pytest.mark.parametrize(
    ("address", "message"),
    [
        ("memory://nothing", "No images are there"),
        ("memory://nothing/*.png", "No images are there"),
        ("zip://*.png::nothing.zip", "No images are there"),
        ("nowhere://photos", "Protocol not known: nowhere"),
        ("reference://::photos.json", "never opened"),
        ("zip://*.png::reference://::photos.json", "never opened"),
        ("memory://a-{0..9999999999}.png", "at most 100,000 names"),
    ],
)
def test_an_address_without_images(address: str, message: str) -> None:
    pytest.importorskip("fsspec")
    with pytest.raises(InvalidParameter, match=message):
        source_of(address, SPEC)


def test_passwords_and_signatures_of_addresses_are_not_shown(memory: Any) -> None:
    for address in ("nowhere://me:secret@host/a.png", "nowhere://host/a.png?signature=secret"):
        with pytest.raises(InvalidParameter) as caught:
            source_of(address, SPEC)
        assert "secret" not in str(caught.value) and "nowhere" in str(caught.value)


def test_what_an_address_needs_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    if pytest.importorskip("importlib.util").find_spec("s3fs") is None:
        with pytest.raises(MissingDependency, match="pip install s3fs"):
            source_of("s3://bucket/a.png", SPEC)
    monkeypatch.setitem(sys.modules, "fsspec", None)
    with pytest.raises(MissingDependency, match=r"fsspec is not installed.*phosphene\[data\]"):
        source_of("memory://photos", SPEC)


@pytest.mark.parametrize("ending", [".zip", ".tar", ".npy", ".npz", ".mp4"])
def test_what_is_no_regular_file_is_never_opened(ending: str, tmp_path: Path) -> None:
    path = tmp_path / f"fifo{ending}"
    os.mkfifo(path)
    given: list[Any] = [path]
    if ending == ".zip":
        given += [f"zip://*.png::{path}", f"zip://*.png::file://{path}"]
    for place in given:
        with pytest.raises(CorruptFile, match="a FIFO"):
            source_of(place, SPEC)
    with pytest.raises(InvalidParameter, match="no regular file"):
        source_of([path], SPEC)


@pytest.mark.parametrize("content", [b"", b"no archive", b"PK\3\4" + bytes(60)])
def test_an_archive_that_is_none(content: bytes, tmp_path: Path) -> None:
    for name in ("photos.zip", "photos.tar", "photos.npy", "photos.npz", "photos.mkv"):
        (tmp_path / name).write_bytes(content)
        with pytest.raises((CorruptFile, InvalidParameter)):
            source_of(tmp_path / name, SPEC)


def test_a_file_that_is_too_large_is_not_read(tmp_path: Path, memory: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    path = zipped(tmp_path / "photos.zip", aDOTpng=encoded(IMAGES[0]))
    monkeypatch.setattr(file_places, "LARGEST_FILE", 100)
    with pytest.raises(CorruptFile, match="too large to be a picture"):
        read_images(path, SPEC)


def test_addresses_and_paths() -> None:
    for text in ("s3://bucket/a", "zip://*.png::photos.zip", "simplecache::s3://a", "http://host/a.png"):
        assert is_address(text)
    for path in ("photos", "/photos/a.png", "photos:20", "C:\\photos", "a:b/c", Path("s3://bucket")):
        assert not is_address(path)


# Shards


def tar(path: Path, *entries: tuple[str, bytes]) -> Path:
    with tarfile.open(path, "w") as archive:
        for name, content in entries:
            member = tarfile.TarInfo(name)
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
    return path


def test_braces_count_and_list_in_their_order() -> None:
    assert expanded("a-{008..010}.tar") == ["a-008.tar", "a-009.tar", "a-010.tar"]
    assert expanded("a-{10..8}.tar") == ["a-10.tar", "a-9.tar", "a-8.tar"]
    assert expanded("{train,test}-{0..1}.tar") == ["train-0.tar", "train-1.tar", "test-0.tar", "test-1.tar"]
    assert expanded("a{b}c.tar") == ["a{b}c.tar"]


def test_shards_are_read_in_the_order_stated(tmp_path: Path) -> None:
    for number, image in enumerate(IMAGES):
        write_shard(tmp_path / f"{number}.tar", image[None])
    for given in (str(tmp_path / "*.tar"), str(tmp_path / "{0..1}.tar"), tmp_path):
        np.testing.assert_array_equal(read_images(given, SPEC), floats(IMAGES))
    for given in (str(tmp_path / "{1..0}.tar"), [tmp_path / "1.tar", str(tmp_path / "0.tar")]):
        np.testing.assert_array_equal(read_images(given, SPEC), floats(IMAGES[::-1]))


def test_the_image_of_a_sample_is_found_by_its_ending(tmp_path: Path) -> None:
    one, two = encoded(IMAGES[0]), encoded(IMAGES[1])
    path = tar(
        tmp_path / "a.tar",
        *(("./train/a.json", b"{}"), ("./train/a.jpg", one), ("./train/a.seg.png", two), ("./train/._a.png", b"")),
        *(("train/b.cls", b"3"), ("train/c.PNG", two), ("train/c.pyd", b"\x80\x05.")),
    )
    np.testing.assert_array_equal(read_images(path, SPEC), floats(IMAGES))
    np.testing.assert_array_equal(read_images(ph.images(str(path), column="seg.png"), SPEC), floats(IMAGES[1:]))
    both = tar(tmp_path / "b.tar", ("a.left.png", one), ("a.right.png", two))
    with pytest.raises(InvalidParameter, match=r"column: expected 'left.png' or 'right.png'"):
        source_of(both, SPEC)
    np.testing.assert_array_equal(read_images(ph.images(both, column="right.png"), SPEC), floats(IMAGES[1:]))


def test_shards_without_images(tmp_path: Path) -> None:
    with pytest.raises(InvalidParameter, match="got samples of 'cls' or 'npy'"):
        source_of(tar(tmp_path / "a.tar", ("a.cls", b"3"), ("a.npy", b"")), SPEC)
    with pytest.raises(InvalidParameter, match="got no files"):
        source_of(tar(tmp_path / "b.tar"), SPEC)
    (tmp_path / "c.tar.gz").write_bytes(b"")
    with pytest.raises(InvalidParameter, match="gzip"):
        source_of(tmp_path / "c.tar.gz", SPEC)


def test_a_shard_that_is_cut_off_or_damaged_is_not_read_to_that_place_in_silence(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    write_shard(tmp_path / "a.tar", IMAGES)
    whole = (tmp_path / "a.tar").read_bytes()
    start = whole.index(b"train/0001.png")
    (tmp_path / "cut.tar").write_bytes(whole[:start])
    assert len(source_of(tmp_path / "cut.tar", SPEC)) == 1
    assert "may be cut off" in caplog.text
    for length in (start + 100, start + 512 + 40, 700):
        (tmp_path / "cut.tar").write_bytes(whole[:length])
        with pytest.raises(CorruptFile, match="cannot be read as a tar archive"):
            source_of(tmp_path / "cut.tar", SPEC)
    damaged = bytearray(whole)
    damaged[start + 120] ^= 0xFF
    (tmp_path / "damaged.tar").write_bytes(damaged)
    with pytest.raises(CorruptFile, match="damaged at byte"):
        source_of(tmp_path / "damaged.tar", SPEC)


def test_a_shard_that_changes_while_it_is_read(tmp_path: Path) -> None:
    write_shard(tmp_path / "a.tar", IMAGES)
    source = source_of(tmp_path / "a.tar", SPEC)
    (tmp_path / "a.tar").write_bytes(b"")
    with pytest.raises(CorruptFile, match="truncated, or was written anew"):
        source.image(0)


# Files of arrays


def test_an_array_on_disk_is_mapped_and_no_object_is_unpickled(tmp_path: Path) -> None:
    np.save(tmp_path / "a.npy", IMAGES)
    source: Any = source_of(tmp_path / "a.npy", SPEC)
    assert isinstance(source.array.base, np.memmap) or isinstance(source.array, np.memmap)
    np.save(tmp_path / "objects.npy", np.array([{"a": 1}], object), allow_pickle=True)
    np.savez(tmp_path / "objects.npz", images=np.array([{"a": 1}], object), allow_pickle=True)
    with pytest.raises(CorruptFile, match="holds Python objects, which are never loaded"):
        source_of(tmp_path / "objects.npy", SPEC)
    with pytest.raises(InvalidParameter, match="an archive with an array"):
        source_of(tmp_path / "objects.npz", SPEC)


def test_the_array_of_an_archive_is_found_or_chosen(tmp_path: Path) -> None:
    np.savez(tmp_path / "two.npz", x_train=IMAGES[:1], x_test=IMAGES[1:], y=np.zeros(3))
    with pytest.raises(InvalidParameter, match="column: expected 'x_train' or 'x_test'"):
        source_of(tmp_path / "two.npz", SPEC)
    np.testing.assert_array_equal(
        read_images(ph.images(tmp_path / "two.npz", column="x_test"), SPEC), floats(IMAGES[1:])
    )
    np.savez_compressed(tmp_path / "named.npz", images=IMAGES, masks=IMAGES[..., :1])
    np.testing.assert_array_equal(read_images(tmp_path / "named.npz", SPEC), floats(IMAGES))


def test_a_header_that_claims_more_than_the_file_holds(tmp_path: Path) -> None:
    np.savez(tmp_path / "a.npz", images=IMAGES)
    content = (tmp_path / "a.npz").read_bytes()
    header = f"'shape': {IMAGES.shape}".encode()
    for name, changed in (
        ("a.npz", header.replace(b"(2,", b"(9,")),
        ("b.npy", b"'shape': (900000000000, 12, 16, 3), }"),
    ):
        if name.endswith(".npz"):
            (tmp_path / name).write_bytes(content.replace(header, changed))
        else:
            np.save(tmp_path / name, IMAGES)
            whole = (tmp_path / name).read_bytes()
            (tmp_path / name).write_bytes(
                whole.replace(header + b", }" + b" " * (len(changed) - len(header) - 3), changed)
            )
        with pytest.raises(CorruptFile, match="cannot be read as an array"):
            source_of(tmp_path / name, SPEC)
