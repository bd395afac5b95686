"""Results are saved whole, come back as they were, and damaged files are refused; first those of an ascent, then all."""

from __future__ import annotations

import csv
import dataclasses
import io
import json
import os
import re
import tracemalloc
import zipfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import phosphene as ph
from phosphene import errors
from phosphene.kit import archives, pictures
from phosphene.kit.result import FIGURES, Result
from result_instances import every_result, same, small_renders


@pytest.mark.parametrize(("ending", "tolerance"), [(".png", 0.5 / 255 + 1e-6), (".npz", 0.0)])
@pytest.mark.parametrize("channels", [1, 2, 3, 7, 12])
def test_what_is_saved_comes_back(tmp_path: Path, ending: str, tolerance: float, channels: int) -> None:
    renders = small_renders(channels)
    again = ph.Renders.load(renders.save(tmp_path / f"x{ending}"))
    assert np.abs(again.images - renders.images).max() <= tolerance
    np.testing.assert_array_equal(again.history, renders.history)
    np.testing.assert_array_equal(again.values, renders.values)
    np.testing.assert_array_equal(again.steps, renders.steps)
    np.testing.assert_array_equal(again.awake_at, renders.awake_at)
    np.testing.assert_array_equal(again.scores["cosine"], renders.scores["cosine"])
    assert (again.labels, again.status, again.settings) == (renders.labels, renders.status, renders.settings)


@pytest.mark.parametrize(("steps", "kept"), [(900, True), (6000, False)])
def test_a_history_that_is_too_long_for_a_png_does_not_spoil_it(tmp_path: Path, steps: int, kept: bool) -> None:
    """Readers refuse more than 2^20 characters; 128 pictures of 512 steps are enough."""
    short = small_renders()[:1]
    many = 64
    history = np.random.default_rng(0).random((steps, many))
    renders = replace(
        short,
        images=np.repeat(short.images, many, axis=0),
        values=np.arange(many) / 3,
        history=history,
        labels=tuple(map(str, range(many))),
        status=("budget",) * many,
        steps=np.full(many, steps),
        awake_at=np.zeros(many, np.int64),
        scores={},
    )
    again = ph.Renders.load(renders.save(tmp_path / "x.png"))
    assert again.history.shape == ((steps if kept else 0), many) and again.labels == renders.labels
    if kept:
        np.testing.assert_allclose(again.history, history, rtol=1e-3)


def test_settings_are_plain_json_in_the_png(tmp_path: Path) -> None:
    from PIL import Image

    path = small_renders().save(tmp_path / "x.png")
    with Image.open(path) as opened:
        metadata = json.loads(opened.text["phosphene"])  # type: ignore[attr-defined]
    assert metadata["settings"]["seed"] == 3


def test_channels_that_are_no_colours_stand_side_by_side() -> None:
    image = np.linspace(0, 1, 4 * 5 * 6).reshape(4, 5, 6)
    picture = pictures.as_picture(image)
    assert picture.shape == (2 * 4 + 1, 3 * 5 + 2, 1)
    np.testing.assert_array_equal(picture[5:, 6:11, 0], image[..., 4].astype(np.float32))
    assert (picture[4] == 1).all() and (picture[:, 5] == 1).all()
    np.testing.assert_array_equal(pictures.from_picture(picture, (4, 5, 6)), image.astype(np.float32))
    assert small_renders(5)._repr_png_().startswith(b"\x89PNG")
    assert len(small_renders(5).plot().axes) == 4


@pytest.mark.parametrize("ending", [".png", ".npz"])
def test_damaged_and_foreign_files_are_refused(tmp_path: Path, ending: str) -> None:
    path = small_renders().save(tmp_path / f"x{ending}")
    whole = path.read_bytes()
    for content in (b"", b"hello", whole[: len(whole) // 2]):
        path.write_bytes(content)
        with pytest.raises(errors.CorruptFile, match="cannot be read as Renders: "):
            ph.Renders.load(path)


def test_a_picture_of_somebody_else_is_refused(tmp_path: Path) -> None:
    from PIL import Image

    Image.new("RGB", (4, 4)).save(tmp_path / "x.png")
    with pytest.raises(errors.CorruptFile, match="carries no settings"):
        ph.Renders.load(tmp_path / "x.png")


def test_a_failed_write_leaves_the_old_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "x.png"
    path.write_bytes(b"old")

    def full(handle: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(errors.UnwritablePath, match="No space left on device"):
        small_renders().save(path)
    assert path.read_bytes() == b"old" and [item.name for item in tmp_path.iterdir()] == ["x.png"]


def test_rows_are_taken_like_a_list() -> None:
    renders = small_renders()
    assert renders[1].labels == ("b <script>",) and len(renders[1:]) == 2
    assert renders[-1].labels == ("ü",)


def test_convergence_is_read_from_the_history() -> None:
    rising, level = np.linspace(0, 10, 80), np.concatenate([np.linspace(0, 10, 40), np.full(40, 10.0)])
    base = small_renders()
    renders = ph.Renders(
        base.images,
        base.values,
        np.stack([rising, level, level], axis=1),
        base.labels,
        base.status,
        np.array([80, 80, 40]),
        base.awake_at,
        {},
        {},
    )
    assert renders.converged.tolist() == [False, True, False]


def test_a_plot_has_a_picture_and_a_title_each() -> None:
    pytest.importorskip("matplotlib")
    figure = small_renders().plot()
    drawn = [axis for axis in figure.axes if axis.images]
    assert len(drawn) == 3 and drawn[2].get_title().endswith("(interrupted)")


def test_a_notebook_gets_a_png() -> None:
    assert small_renders()._repr_png_()[:4] == b"\x89PNG"


RESULTS = every_result()
FILES = [(name, ending) for name, result in RESULTS.items() for ending in result.endings]
CLASSES = {type(result): name for name, result in reversed(RESULTS.items())}


def test_every_class_of_results_is_tried() -> None:
    assert {kind for kind in Result.__subclasses__() if kind.__module__.startswith("phosphene.")} == set(CLASSES)
    assert len({kind.kind for kind in CLASSES}) == len(CLASSES)


@pytest.mark.parametrize("name", RESULTS)
def test_an_archive_keeps_everything_exactly(tmp_path: Path, name: str) -> None:
    result = RESULTS[name]
    again = type(result).load(result.save(tmp_path / "new" / "x.npz"))
    assert type(again) is type(result) and same(vars(again), vars(result))
    assert [item.name for item in (tmp_path / "new").iterdir()] == ["x.npz"]


@pytest.mark.parametrize(("name", "ending"), [item for item in FILES if item[1] != ".npz"])
def test_every_other_file_can_be_read(tmp_path: Path, name: str, ending: str) -> None:
    from PIL import Image

    if ending in FIGURES:
        pytest.importorskip("matplotlib")
    content = RESULTS[name].save(tmp_path / f"x{ending}").read_bytes()
    if ending == ".png":
        with Image.open(io.BytesIO(content)) as opened:
            opened.load()
    elif ending == ".html":
        assert "<title>" in content.decode()
    elif ending == ".csv":
        head, *rows = csv.reader(io.StringIO(content.decode()))
        assert rows and {len(row) for row in rows} == {len(head)}
    elif ending == ".json":
        json.loads(content, parse_constant=lambda word: pytest.fail(f"{word} is not JSON"))
    else:
        assert content.startswith({".svg": b"<?xml", ".pdf": b"%PDF"}[ending])


@pytest.mark.parametrize("name", RESULTS)
def test_a_result_becomes_plain_python(name: str) -> None:
    def check(value: object) -> None:
        assert isinstance(value, (dict, list, str, int, float, np.ndarray, type(None))) and not isinstance(
            value, np.generic
        )
        for item in value.values() if isinstance(value, dict) else value if isinstance(value, list) else ():
            check(item)

    plain = RESULTS[name].to_dict()
    check(plain)
    assert list(plain) == [item.name for item in dataclasses.fields(RESULTS[name])]  # type: ignore[arg-type]


def test_nested_results_become_nested_dictionaries() -> None:
    plain = RESULTS["cards"].to_dict()
    assert plain["cards"][1]["word"] == "failed" and plain["cards"][0]["nearest"][0] == [3, 0.5]
    assert list(RESULTS["comparison"].to_dict()["similarity"]) == [(0, 1)]


@pytest.mark.parametrize("name", RESULTS)
def test_notebooks_show_the_figure(name: str) -> None:
    pytest.importorskip("matplotlib")
    shown = RESULTS[name]._repr_png_()
    assert shown is None if ".png" not in RESULTS[name].endings else shown.startswith(b"\x89PNG")


@pytest.mark.parametrize("name", CLASSES.values())
def test_another_ending_is_refused_with_those_there_are(tmp_path: Path, name: str) -> None:
    result = RESULTS[name]
    with pytest.raises(errors.InvalidParameter, match="path: expected a name that ends in ") as raised:
        result.save(tmp_path / "new" / "x.xyz")
    named = re.findall(r"\.[a-z]+", str(raised.value).partition(", got ")[0])
    assert named == list(result.endings) and not list(tmp_path.iterdir())


def test_options_of_figures_are_refused_for_other_files(tmp_path: Path) -> None:
    with pytest.raises(errors.InvalidParameter, match=r"columns: expected no such option for a \.npz file"):
        RESULTS["maps"].save(tmp_path / "x.npz", columns=3)
    with pytest.raises(errors.InvalidParameter, match=r"titles: expected no such option for a \.png file"):
        RESULTS["renders"].save(tmp_path / "x.png", titles=False)
    assert RESULTS["maps"].save(tmp_path / "x.png", columns=3).is_file()


def test_a_result_without_a_figure_says_so() -> None:
    with pytest.raises(NotImplementedError, match=r"Quiz has no figure; it can be saved as \.html, \.npz"):
        RESULTS["quiz"].plot()


@pytest.mark.parametrize(
    ("name", "ending"), [(name, end) for name in CLASSES.values() for end in RESULTS[name].endings]
)
def test_a_write_that_fails_leaves_nothing(
    tmp_path: Path, name: str, ending: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(handle: int) -> None:
        raise OSError(28, "No space left on device")

    if ending in FIGURES:
        pytest.importorskip("matplotlib")
    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(errors.UnwritablePath, match="No space left on device"):
        RESULTS[name].save(tmp_path / f"x{ending}")
    assert not list(tmp_path.iterdir())


def test_the_path_is_checked_before_the_work(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setattr(ph.Features, "plot", lambda self: pytest.fail("it was drawn"))
    with pytest.raises(errors.UnwritablePath):
        RESULTS["features"].save(tmp_path / "file" / "x.png")
    with pytest.raises(errors.InvalidParameter):
        ph.Features.check_path(tmp_path / "x.csv")


WRONG: dict[str, tuple[dict[str, Any], str]] = {
    "settings with arrays": ({"settings": {"a": np.zeros(2)}}, "settings/a: expected plain JSON"),
    "settings with numbered keys": ({"settings": {"a": {1: 2}}}, "settings/a: expected plain JSON"),
    "an array of words": ({"values": np.array(["a", "b", "c"])}, "values: expected an array of floats, got one of <U1"),
    "an array of objects": (
        {"values": np.array([1, None, 2])},
        "values: expected an array of floats, got one of object",
    ),
    "too few labels": ({"labels": ("a",)}, r"labels: expected shape \(N,\) with N = 3, got \(1,\)"),
    "an axis too many": ({"scores": {"a": np.zeros((3, 1))}}, r"scores/0: expected shape \(N,\)"),
    "one word as labels": ({"labels": "abc"}, "labels: expected a tuple, got 'abc'"),
    "words for seconds": ({"seconds": "1"}, "seconds: expected a number, got '1'"),
}


def test_a_pair_has_two(tmp_path: Path) -> None:
    card: Any = replace(RESULTS["card"], interval=(0.0, 1.0, 2.0))  # type: ignore[type-var]
    with pytest.raises(errors.InvalidParameter, match=r"interval: expected shape \(2,\), got \(3,\)"):
        card.save(tmp_path / "x.npz")


@pytest.mark.parametrize("name", WRONG)
def test_what_could_not_be_read_again_is_not_saved(tmp_path: Path, name: str) -> None:
    changes, message = WRONG[name]
    with pytest.raises(errors.InvalidParameter, match=message):
        replace(small_renders(), **changes).save(tmp_path / "x.npz")
    assert not list(tmp_path.iterdir())


def test_numbers_of_numpy_are_kept_as_numbers(tmp_path: Path) -> None:
    renders = replace(small_renders(), seconds=np.float32(1.5), settings={"seed": np.int64(3), "size": (4, 5)})
    again = ph.Renders.load(renders.save(tmp_path / "x.npz"))
    assert again.seconds == 1.5 and again.settings == {"seed": 3, "size": [4, 5]}


def test_arrays_that_compress_too_well_are_not_taken_for_a_bomb(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(archives, "FREE_SIZE", 10_000)
    flat = replace(small_renders(), images=np.zeros((3, 500, 500, 3), np.float32))
    assert ph.Renders.load(flat.save(tmp_path / "x.npz")).images.shape == (3, 500, 500, 3)


@pytest.mark.parametrize("name", CLASSES.values())
def test_another_kind_of_result_is_refused(tmp_path: Path, name: str) -> None:
    path = RESULTS[name].save(tmp_path / "x.npz")
    for cls in CLASSES:
        if cls is not type(RESULTS[name]):
            message = (
                f"x.npz: cannot be read as {cls.__name__}: it holds another kind of result, '{RESULTS[name].kind}'"
            )
            with pytest.raises(errors.CorruptFile, match=re.escape(message)):
                cls.load(path)


@pytest.mark.parametrize("name", CLASSES.values())
def test_a_file_cut_short_is_refused(tmp_path: Path, name: str) -> None:
    path = RESULTS[name].save(tmp_path / "x.npz")
    whole = path.read_bytes()
    for length in (0, 1, len(whole) // 3, len(whole) - 1):
        path.write_bytes(whole[:length])
        with pytest.raises(
            errors.CorruptFile, match=r"x\.npz: cannot be read as .*: it is not an archive of phosphene"
        ):
            type(RESULTS[name]).load(path)
    with pytest.raises(FileNotFoundError):
        type(RESULTS[name]).load(tmp_path / "nowhere.npz")


@pytest.mark.parametrize("name", ["parity", "renders"])
def test_a_flipped_bit_is_found_or_does_no_harm(tmp_path: Path, name: str) -> None:
    """Dates and the like in the headers are read by nobody; everything else is."""
    result = RESULTS[name]
    path = result.save(tmp_path / "x.npz")
    whole = path.read_bytes()
    messages = []
    places = range(0, len(whole), 1 + len(whole) // 400)
    for place in places:
        path.write_bytes(whole[:place] + bytes([whole[place] ^ (1 << place % 8)]) + whole[place + 1 :])
        try:
            again = type(result).load(path)
        except errors.CorruptFile as error:
            messages.append(str(error))
        else:
            assert same(vars(again), vars(result))
    assert len(messages) > 0.5 * len(places) and all(message.startswith(str(path)) for message in messages)


class Bomb:
    """Leaves a trace when it is unpickled."""

    def __reduce__(self) -> Any:
        return os.mkdir, ("/nowhere/unpickled",)


def archive(path: Path, words: dict[str, Any], arrays: dict[str, Any]) -> Path:
    np.savez(path, **arrays, metadata=np.asarray(json.dumps(words)))
    return path


def opened(path: Path) -> tuple[dict[str, Any], dict[str, Any]]:
    with np.load(path) as held:
        return json.loads(str(held["metadata"])), {name: held[name] for name in held if name != "metadata"}


DAMAGED: dict[str, tuple[dict[str, Any], dict[str, Any], str]] = {
    "a later version": ({"format": 3}, {}, "it is in format 3, and this version reads formats up to 2"),
    "no version": ({"format": None}, {}, "it was not written by phosphene: its metadata do not name a format"),
    "version true": ({"format": True}, {}, "it was not written by phosphene: its metadata do not name a format"),
    "no kind": ({"kind": None}, {}, "it holds another kind of result, None"),
    "a missing entry": ({}, {"values": None}, "values: expected an array of floats, got no entry of the archive"),
    "a field without its array": ({"values": None}, {}, "values: expected an array of floats, got no entry"),
    "an entry twice": ({"opacity": "images"}, {}, "opacity: expected an array of floats, got no entry"),
    "a missing field": ({"values": ...}, {}, "values: a field that is missing"),
    "an unknown field": ({"colour": 3}, {}, "colour: a field that is unknown"),
    "a lower rank": ({}, {"images": np.zeros((3, 4))}, r"images: expected shape \(N, H, W, C\), got \(3, 4\)"),
    "another count": ({}, {"values": np.zeros(4)}, r"values: expected shape \(N,\) with N = 3, got \(4,\)"),
    "integers": ({}, {"values": np.zeros(3, int)}, "values: expected an array of floats, got one of int64"),
    "floats": ({}, {"steps": np.zeros(3)}, "steps: expected an array of integers, got one of float64"),
    "text": ({}, {"images": np.array("hello")}, "images: expected an array of floats, got one of <U5"),
    "a pickle": (
        {},
        {"images": np.array([Bomb()], object)},
        "images: it holds Python objects, and nothing is unpickled",
    ),
    "labels of numbers": ({"labels": [1, 2, 3]}, {}, "labels/0: expected a string, got 1"),
    "labels by name": ({"labels": {"a": 1}}, {}, "labels: expected a list"),
    "seconds of text": ({"seconds": "a"}, {}, "seconds: expected a number, got 'a'"),
    "seconds true": ({"seconds": True}, {}, "seconds: expected a number, got True"),
    "settings of text": ({"settings": "a"}, {}, "settings: expected a mapping, got 'a'"),
    "scores of lists": ({"scores": [["a"]]}, {}, "scores: expected a mapping"),
    "a number too large": ({"seconds": 10**400}, {}, "int too large"),
}


@pytest.mark.parametrize("name", DAMAGED)
def test_nothing_in_an_archive_is_believed(tmp_path: Path, name: str) -> None:
    changed, others, message = DAMAGED[name]
    words, arrays = opened(small_renders().save(tmp_path / "good.npz"))
    words = {key: value for key, value in (words | changed).items() if value is not ...}
    arrays = {key: value for key, value in (arrays | others).items() if value is not None}
    path = archive(tmp_path / "x.npz", words, arrays)
    with pytest.raises(errors.CorruptFile, match=rf"x\.npz: cannot be read as Renders: {message}"):
        ph.Renders.load(path)


def test_nested_fields_are_checked_as_well(tmp_path: Path) -> None:
    words, arrays = opened(RESULTS["cards"].save(tmp_path / "cards.npz"))
    words["cards"][1]["word"] = "splendid"
    with pytest.raises(errors.CorruptFile, match=r"word: expected 'reliable', .* got 'splendid'"):
        ph.TrustCards.load(archive(tmp_path / "x.npz", words, arrays))
    words["cards"][1] = {"label": "a"}
    with pytest.raises(errors.CorruptFile, match="cards/1/asked: a field that is missing"):
        ph.TrustCards.load(archive(tmp_path / "x.npz", words, arrays))
    words, arrays = opened(RESULTS["comparison"].save(tmp_path / "comparison.npz"))
    words["similarity"][0][0] = [0, 7]
    with pytest.raises(errors.CorruptFile, match="similarity: expected a matrix"):
        ph.Comparison.load(archive(tmp_path / "x.npz", words, arrays))


@pytest.mark.parametrize("text", ["[" * 100_000, "[]", "3", "null", "{", '{"format": 2', "9" * 10_000])
def test_metadata_of_somebody_else_are_refused(tmp_path: Path, text: str) -> None:
    np.savez(tmp_path / "x.npz", metadata=np.asarray(text))
    with pytest.raises(errors.CorruptFile, match="cannot be read as Quiz"):
        ph.Quiz.load(tmp_path / "x.npz")


def _member(header: dict[str, Any], data: bytes) -> bytes:
    stream = io.BytesIO()
    np.lib.format.write_array_header_1_0(stream, header)  # type: ignore[arg-type]
    return stream.getvalue() + data


@pytest.mark.parametrize("shape", [(1 << 40,), (1 << 62, 4), (-1,), (2,)])
def test_a_header_that_claims_more_than_there_is_takes_no_memory(tmp_path: Path, shape: tuple[int, ...]) -> None:
    words, arrays = opened(small_renders().save(tmp_path / "good.npz"))
    del arrays["values"]
    path = archive(tmp_path / "x.npz", words, arrays)
    with zipfile.ZipFile(path, "a") as held:
        held.writestr("values.npy", _member({"descr": "<f8", "fortran_order": False, "shape": shape}, bytes(24)))
    with pytest.raises(errors.CorruptFile, match=r"values: its shape .* does not agree with its size in the file"):
        ph.Renders.load(path)


def test_a_bomb_is_refused_before_it_goes_off(tmp_path: Path) -> None:
    words, arrays = opened(small_renders().save(tmp_path / "good.npz"))
    del arrays["images"]
    path = archive(tmp_path / "x.npz", words, arrays)
    header = {"descr": "<f4", "fortran_order": False, "shape": (1, 10_000, 10_000, 3)}
    with (
        zipfile.ZipFile(path, "a", zipfile.ZIP_DEFLATED, compresslevel=1) as held,
        held.open("images.npy", "w", force_zip64=True) as stream,
    ):
        stream.write(_member(header, b""))
        for _ in range(3 * 4 * 100):
            stream.write(bytes(1_000_000))
    tracemalloc.start()
    with pytest.raises(errors.CorruptFile, match="it would unpack to more than"):
        ph.Renders.load(path)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 10_000_000


def _first_format(result: Any, kind: str | None, arrays: tuple[str, ...]) -> tuple[dict[str, Any], dict[str, Any]]:
    """The content of an archive as version 0.1 wrote it in its first format."""
    fields = vars(result)
    known = fields.keys() - {*arrays, *type(result).added}
    words = {name: fields[name] for name in fields if name in known and fields[name] is not None}
    return {"format": 1, **({"kind": kind} if kind else {}), **words}, {name: fields[name] for name in arrays}


@pytest.mark.parametrize(
    "name", ["features", "concept", "used concept", "quiz", "renders", "full renders", "no renders", "attribution"]
)
def test_archives_of_the_first_format_are_read(tmp_path: Path, name: str) -> None:
    result: Any = RESULTS[name]
    names = {
        "features": ("vectors", "strength"),
        "concept": ("vector", "accuracy_null", "sensitivity_null"),
        "attribution": ("images", "raw", "maps", "values"),
        "quiz": ("pictures", "patches", "questions", "answers"),
        "renders": ("images", "values", "history", "steps", "awake_at"),
    }[result.kind]
    if result.kind == "renders":  # whose scores were lists, of float64 when they came back
        result = replace(result, scores={key: value.astype(np.float64) for key, value in result.scores.items()})
        names += tuple(extra for extra in ("snapshots", "opacity", "parameters") if getattr(result, extra) is not None)
    if name == "features":  # without what was added since
        empty = ph.Features("", "", "", np.ones((1, 1)), np.ones(1), 0.0)
        result = replace(result, **{field: getattr(empty, field) for field in type(result).added})
    words, arrays = _first_format(result, None if result.kind == "renders" else result.kind, names)
    if result.kind == "attribution":  # whose mappings were entries as well
        del words["kind"]
        for group in ("scores", "curves", "sanity"):
            arrays |= {f"{group}/{key}": value for key, value in words.pop(group).items()}
    if result.kind == "renders":
        words["scores"] = {key: value.tolist() for key, value in words["scores"].items()}
    again = type(result).load(archive(tmp_path / "x.npz", words, arrays))
    assert same(vars(again), vars(result))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"layout": {"shape": [10**6, 10**6, 10**6, 3], "columns": 1, "gap": 2}}, "do not fit its pixels"),
        ({"layout": {"shape": [10**9, 12, 9, 3], "columns": 2, "gap": 2}}, "shape/0: expected a number from 0 to"),
        ({"layout": {"shape": [3, 12, 9, 10**9], "columns": 2, "gap": 2}}, "shape/3: expected a number from 1 to"),
        ({"layout": {"shape": [3, 12, 9], "columns": 2, "gap": 2}}, "shape: expected shape"),
        ({"layout": None}, "expected a mapping of its fields, got None"),
        ({"format": 2}, "it is in format 2, and this version reads formats up to 1"),
        ({"labels": ["a"]}, "labels: expected shape"),
        ({"values": [[1]]}, "values: expected shape"),
        ({"settings": []}, "settings: expected a mapping"),
        ({"seconds": ...}, "seconds: a field that is missing"),
    ],
)
def test_nothing_in_a_picture_is_believed(tmp_path: Path, changes: dict[str, Any], message: str) -> None:
    from PIL import Image
    from PIL.PngImagePlugin import PngInfo

    with Image.open(small_renders().save(tmp_path / "good.png")) as picture:
        words = json.loads(picture.text["phosphene"]) | changes  # type: ignore[attr-defined]
        info = PngInfo()
        info.add_itxt(
            "phosphene", json.dumps({key: value for key, value in words.items() if value is not ...}), zip=True
        )
        picture.save(tmp_path / "x.png", pnginfo=info)
    with pytest.raises(errors.CorruptFile, match=rf"x\.png: cannot be read as Renders: .*{message}"):
        ph.Renders.load(tmp_path / "x.png")
