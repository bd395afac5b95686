"""Forms of data sets, tensors and files that need more than a line: each is taken rightly, or refused with the way out."""

from __future__ import annotations

import dataclasses
import io
import logging
import pickle
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import phosphene as ph
from handed_over import SIZE, Pair, data_set, encoded, floats, labelled, loader, pictures, stream, tensor
from phosphene.backend import InputSpec
from phosphene.data.in_memory import read_images
from phosphene.data.sources import source_of
from phosphene.data.streams import loaded
from phosphene.errors import CorruptFile, InvalidImages, InvalidParameter

torch = pytest.importorskip("torch")

SPEC, GREY = InputSpec(size=SIZE, channels=3), InputSpec(size=SIZE, channels=1)
IMAGES = np.random.default_rng(2).integers(0, 256, (5, *SIZE, 3), dtype=np.uint8)
TENSOR = tensor(IMAGES)
Make = Callable[[], Any]


def streamed(images: Any, spec: InputSpec) -> Any:
    return loaded(source_of(images, spec), None, spec.channels)


def same(images: Make, wanted: Any = None, spec: InputSpec = SPEC) -> None:
    """Compare what arrives, read at once and streamed, with the images."""
    for read in (read_images, streamed):
        np.testing.assert_allclose(read(images(), spec), floats(IMAGES) if wanted is None else wanted, atol=1e-6)


@dataclasses.dataclass
class Batch:
    image: Any
    label: Any


def test_tensors_in_other_forms() -> None:
    same(lambda: torch.quantize_per_tensor(TENSOR, 1 / 255, 0, torch.quint8))
    same(lambda: torch.nested.nested_tensor(list(TENSOR)))
    same(lambda: torch.nn.Parameter(TENSOR))
    same(lambda: TENSOR.contiguous(memory_format=torch.channels_last))
    same(lambda: TENSOR.to_sparse())
    same(lambda: [row.to_sparse() for row in TENSOR])
    same(lambda: TENSOR.double())
    whole = torch.round(TENSOR * 4) / 4
    same(lambda: whole.bfloat16(), whole.permute(0, 2, 3, 1))
    same(lambda: whole.half(), whole.permute(0, 2, 3, 1))
    same(lambda: TENSOR[0], floats(IMAGES[:1]))
    same(lambda: [TENSOR[index : index + 1] for index in range(5)])
    with pytest.raises(InvalidImages, match="dtype complex64"):
        read_images(TENSOR.to(torch.complex64), SPEC)
    with pytest.raises(InvalidImages, match="meta tensor"):
        read_images(TENSOR.to("meta"), SPEC)


def test_a_layout_that_is_told_by_the_shape_is_said_once(caplog: pytest.LogCaptureFixture) -> None:
    for given in (TENSOR, loader(labelled(IMAGES), batch_size=2), list(TENSOR)):
        caplog.clear()
        with caplog.at_level(logging.INFO, "phosphene"):
            read_images(given, SPEC)
        assert [record.message for record in caplog.records].count(caplog.records[0].message) == 1
        assert "is taken as channel-first" in caplog.text
        assert len(caplog.records) == 1
    assert repr(ph.images(TENSOR)) == "Images of torch Tensor, layout='channel-first, by its shape'"
    assert repr(ph.images(TENSOR.permute(0, 2, 3, 1))) == "Images of torch Tensor"
    assert repr(ph.images(IMAGES.transpose(0, 3, 1, 2))) == "Images of numpy ndarray"


def test_where_both_layouts_fit_the_framework_decides_and_the_statement_rules() -> None:
    square = np.random.default_rng(0).random((2, 3, 8, 3)).astype(np.float32)
    spec = InputSpec(size=(8, 3), channels=3)
    assert read_images(torch.from_numpy(square), spec).shape == (2, 8, 3, 3)
    assert read_images(square, spec).shape == (2, 3, 8, 3)
    for given in (torch.from_numpy(square), square):
        for layout, shape in (("channel-last", (2, 3, 8, 3)), ("channel-first", (2, 8, 3, 3))):
            assert read_images(ph.images(given, layout=layout), spec).shape == shape


def test_grey_images_need_no_axis_of_channels() -> None:
    grey = IMAGES[..., 0]
    wanted = floats(grey)[..., None]
    same(lambda: grey, wanted, GREY)
    same(lambda: torch.from_numpy(grey), wanted, GREY)
    same(lambda: list(grey), wanted, GREY)
    same(lambda: [torch.from_numpy(grey)], wanted, GREY)
    same(lambda: grey[0], wanted[:1], GREY)
    same(lambda: grey[0, ..., None], wanted[:1], GREY)
    same(lambda: ph.images(iter([grey[:2], grey[2:]]), count=5), wanted, GREY)
    same(lambda: loader(data_set(lambda i: (torch.from_numpy(grey[i]), 0), 5), batch_size=2), wanted, GREY)
    with pytest.raises(InvalidImages, match="repeat"):
        read_images(grey[0], SPEC)


def test_loaders_of_many_kinds() -> None:
    pairs = data_set(lambda i: (i, pictures(IMAGES)[i], 0), 5)
    same(lambda: loader(pairs, batch_size=2, collate_fn=lambda rows: tuple(zip(*rows, strict=True))))
    same(lambda: loader(labelled(IMAGES), batch_size=2, drop_last=True), floats(IMAGES[:4]))
    same(lambda: loader(labelled(IMAGES), batch_size=2, sampler=[0, 1, 2, 3]), floats(IMAGES[:4]))
    same(lambda: loader(data_set(lambda i: (TENSOR[i, :1], TENSOR[i]), 5), batch_size=2))  # (mask, image)
    same(lambda: loader(data_set(lambda i: TENSOR[i], 5), batch_size=2, collate_fn=lambda r: Batch(torch.stack(r), 0)))
    same(lambda: loader(stream(lambda: iter(TENSOR), 5), batch_size=2, drop_last=True), floats(IMAGES[:4]))
    same(lambda: ph.images(loader(stream(lambda: iter(TENSOR)), batch_size=2), count=5))
    same(lambda: ph.images(loader(labelled(IMAGES), batch_size=2), count=3), floats(IMAGES[:3]))
    batches = data_set(lambda i: (TENSOR[2 * i : 2 * i + 2], 0), 3)
    for made in (lambda: loader(batches, batch_size=None), lambda: batches):
        same(lambda made=made: ph.images(made(), count=5))  # type: ignore[misc]
        with pytest.raises(InvalidParameter, match="are batches, of which the lengths are not known"):
            source_of(made(), SPEC)
    random = torch.utils.data.RandomSampler(labelled(IMAGES))
    for options in (
        {"shuffle": True},
        {"sampler": random},
        {"batch_sampler": torch.utils.data.BatchSampler(random, 2, False)},
    ):
        with pytest.raises(InvalidParameter, match="shuffle=False"):
            source_of(loader(labelled(IMAGES), **options), SPEC)
    with pytest.raises(InvalidParameter, match="two views"):
        read_images(loader(data_set(lambda i: ((TENSOR[i], TENSOR[i]), 0), 5), batch_size=2), SPEC)


@pytest.mark.slow
def test_a_loader_with_workers() -> None:
    spawned = {"num_workers": 2, "multiprocessing_context": "spawn"}
    same(lambda: loader(labelled(IMAGES), batch_size=2, **spawned))


def test_an_exception_of_a_data_set_is_told_shortly_and_can_be_skipped() -> None:
    def item(index: int) -> Any:
        if index == 3:
            raise ValueError("Caught by a worker.\n\nTraceback\n  lines\nOSError: truncated")
        return TENSOR[index]

    data = data_set(item, 5)
    with pytest.raises(CorruptFile, match=r"^image 3: .*raised ValueError \(OSError: truncated\)$"):
        read_images(data, SPEC)
    kept = read_images(data, SPEC, on_error="skip")
    np.testing.assert_array_equal(kept, floats(IMAGES)[[0, 1, 2, 4]])
    with pytest.raises(CorruptFile, match=r"item 1 of the DataLoader.*OSError: truncated"):
        read_images(loader(data, batch_size=2), SPEC)


def test_lengths_that_are_wrong() -> None:
    for given in (data_set(lambda i: TENSOR[i], 9), data_set(lambda i: list(TENSOR)[i], 9)):
        with pytest.raises(InvalidParameter, match="without item 5"):
            read_images(given, SPEC)
    with pytest.raises(InvalidParameter, match=r"expected 9 images.*got 5.*Give count=5"):
        read_images(stream(lambda: iter(TENSOR), 9), SPEC)
    same(lambda: data_set(lambda i: TENSOR[i], 3), floats(IMAGES[:3]))
    same(lambda: stream(lambda: iter(TENSOR), 3), floats(IMAGES[:3]))
    with pytest.raises(InvalidParameter, match="length cannot be had"):
        source_of(data_set(lambda i: TENSOR[i], -1), SPEC)


def test_data_without_an_end_do_not_run_for_ever(tmp_path: Path) -> None:
    class Endless:
        def __getitem__(self, index: int) -> Any:
            return TENSOR[index % 5]

    def forever() -> Iterator[Any]:
        while True:
            yield TENSOR[0]

    for given in (Endless(), forever(), stream(forever)):
        with pytest.raises(InvalidParameter, match="count"):
            source_of(given, SPEC)
        assert len(read_images(ph.images(given, count=3), SPEC)) == 3
    for given in (data_set(lambda i: TENSOR[0], 10**12), stream(forever, 10**12)):
        for made in (given, loader(given, batch_size=2)):
            with pytest.raises(InvalidParameter, match="at most 1,000,000,000 images"):
                source_of(made, SPEC)
    for given in (data_set(lambda i: TENSOR[0], 10**9), stream(forever, 10**9)):
        with pytest.raises(InvalidParameter, match="fit into the memory of this machine"):
            read_images(given, SPEC)


def test_columns_of_mappings_and_tables() -> None:
    same(lambda: data_set(lambda i: {"caption": "a/b", "photo_of_it": TENSOR[i], "boxes": np.zeros((4, 4))}, 5))
    same(lambda: data_set(lambda i: ("right and/or left.", pictures(IMAGES)[i]), 5))
    same(lambda: ph.images(data_set(lambda i: Pair(TENSOR[i], TENSOR[i] * 0), 5), column="image"))
    two = data_set(lambda i: {"left": TENSOR[i], "right": TENSOR[i]}, 5)
    with pytest.raises(InvalidParameter, match=r"column: expected 'left' or 'right'.*column='left'"):
        read_images(two, SPEC)
    same(lambda: ph.images(two, column="right"))
    with pytest.raises(InvalidParameter, match="column: expected 'left' or 'right', got 'middle'"):
        read_images(ph.images(two, column="middle"), SPEC)
    same(lambda: [{"image": IMAGES[:2]}, {"image": IMAGES[2:]}])
    with pytest.raises(InvalidParameter, match="at least one image"):
        source_of({}, SPEC)


def test_files_that_are_open_and_bytes() -> None:
    content = encoded(IMAGES[0])
    for given in (content, bytearray(content), memoryview(content), io.BytesIO(content), [io.BytesIO(content)]):
        np.testing.assert_array_equal(read_images(given, SPEC), floats(IMAGES[:1]))
    same(lambda: [memoryview(image) for image in IMAGES])
    closed = io.BytesIO(content)
    closed.close()
    for given, message in (
        (closed, "cannot be read"),
        (io.BytesIO(), "at its end"),
        (io.StringIO("x"), "a file of text"),
    ):
        with pytest.raises(InvalidParameter, match=message):
            source_of(given, SPEC)
    with pytest.raises(InvalidParameter, match=r"cannot be a path|Nothing exists"):
        source_of("data:image/png;base64," + "A" * 9000, SPEC)


def test_what_holds_no_images(tmp_path: Path) -> None:
    for given in (
        None,
        5,
        1.5,
        np.float32(1),
        lambda: 1,
        np.ndarray,
        slice(3),
        range(3),
        [None],
        "",
        "no such",
        b"",
        object(),
    ):
        with pytest.raises(InvalidParameter):
            read_images(given, SPEC)
    with pytest.raises(CorruptFile, match="there is no such file"):
        read_images([IMAGES[0], tmp_path / "none.png"], SPEC)
    with pytest.raises(InvalidParameter, match="That is a folder"):
        source_of([tmp_path], SPEC)


def test_sources_are_sent_to_other_processes() -> None:
    for given in (IMAGES, list(IMAGES), pictures(IMAGES), torch.from_numpy(IMAGES)):
        source = source_of(given, SPEC)
        alone, row = pickle.loads(pickle.dumps(source.part(3)))
        np.testing.assert_array_equal(alone.image(row), IMAGES[3])
        assert len(pickle.dumps(source.part(3))) < 4000
