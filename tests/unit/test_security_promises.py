"""Each promise of SECURITY.md has a test: the table here says which, and tests that stand nowhere else are below it."""

from __future__ import annotations

import ast
import functools
import io
import json
import os
import re
import stat
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest

import phosphene as ph
from hostile_names import HOSTILE, renamed
from phosphene.backend import Network
from phosphene.errors import PhospheneError
from result_instances import every_result

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "SECURITY.md"
SECTIONS = ("What is opened", "What is never run", "What is run", "Limits")

HERE, RESULTS = "unit/test_security_promises.py", "unit/test_results.py"
FILES, ADDRESSES = "unit/test_image_files.py", "unit/test_addresses.py"
WEIGHTS, REPLAY = "unit/test_weights_files.py", "conformance/test_replay.py"

PROMISES: dict[str, tuple[str, ...]] = {
    "Image files are opened in the formats": (f"{HERE}::test_only_the_formats_that_are_named_are_opened",),
    "Every other format is refused by name": (
        f"{HERE}::test_only_the_formats_that_are_named_are_opened",
        f"{FILES}::test_what_is_no_image_is_named",
        f"{FILES}::test_a_decoder_of_another_package_is_never_asked",
    ),
    "Archives of images (tar, zip), films and arrays": (
        f"{ADDRESSES}::test_an_array_on_disk_is_mapped_and_no_object_is_unpickled",
        f"{ADDRESSES}::test_an_archive_that_is_none",
        "unit/test_films.py::test_a_film_that_is_damaged_or_cut_off",
    ),
    "An address is opened only if you give it": ("unit/test_films.py::test_lists_of_other_files_are_never_opened",),
    "Saved results": (
        f"{HERE}::test_a_result_with_pickled_objects_is_refused",
        f"{RESULTS}::test_nothing_in_an_archive_is_believed",
    ),
    "Weights are read from": (
        f"{WEIGHTS}::test_a_file_of_each_kind_is_read",
        f"{WEIGHTS}::test_nothing_is_ever_unpickled",
    ),
    "Stores, sheets, atlases": (f"{HERE}::test_folders_hold_nothing_but_arrays_and_json",),
    "The settings in a picture": (
        f"{RESULTS}::test_settings_are_plain_json_in_the_png",
        "unit/test_paths.py::test_a_configuration_is_in_the_home_folder",
    ),
    "Pipes, sockets and devices are never read": (
        "unit/test_paths.py::test_pipes_and_devices_are_neither_read_nor_replaced",
        "unit/test_quiz.py::test_what_is_no_file_is_refused",
        f"{FILES}::test_only_regular_files_are_opened",
        "unit/test_documents.py::test_what_is_no_file_or_never_ends_is_refused_at_once",
    ),
    "A file that is damaged": (
        "fuzz/test_mutated_files.py::test_a_damaged_file_of_any_kind_is_a_named_error",
        f"{FILES}::test_a_truncated_file_is_named",
        f"{RESULTS}::test_damaged_and_foreign_files_are_refused",
        f"{RESULTS}::test_a_flipped_bit_is_found_or_does_no_harm",
        f"{WEIGHTS}::test_a_damaged_file_is_named",
        f"{REPLAY}::test_files_made_to_do_harm",
    ),
    "No file is unpickled": (
        f"{WEIGHTS}::test_nothing_is_ever_unpickled",
        f"{WEIGHTS}::test_the_cache_of_torchvision_is_not_unpickled_either",
        f"{HERE}::test_a_result_with_pickled_objects_is_refused",
    ),
    "No code that comes with a downloaded model": (
        "unit/test_transformers_loader.py::test_code_that_comes_with_a_model_is_not_run",
    ),
    "Replaying a picture": (f"{REPLAY}::test_files_made_to_do_harm", f"{REPLAY}::test_no_setting_is_believed"),
    "No PostScript is run": (
        f"{HERE}::test_no_program_is_started_for_an_image",
        f"{FILES}::test_a_program_in_postscript_never_starts_another",
        f"{FILES}::test_with_ghostscript_installed_it_is_not_started",
    ),
    "Names of classes, layers, networks and files are text": (
        f"{HERE}::test_names_are_text_in_pages",
        "unit/test_atlas_report.py::test_names_on_the_page_are_escaped",
    ),
    "Pages load nothing from elsewhere": (
        f"{HERE}::test_names_are_text_in_pages",
        "unit/test_atlas_viewer.py::test_the_policy_allows_its_own_script_and_style_and_nothing_else",
    ),
    "Names cannot hide": ("unit/test_words.py::test_what_cannot_be_seen_is_written_as_its_escape",),
    "Names are not formulas": (
        "unit/test_names_in_figures.py::test_every_figure_is_drawn_with_a_formula_for_a_name",
        "unit/test_names_in_figures.py::test_a_name_is_shown_with_all_its_signs",
    ),
    "A model is your code": ("unit/test_torch_failures.py::test_causes_when_wrapping",),
    "A factory": ("unit/test_factories.py::test_a_torch_factory_is_found_in_the_current_directory",),
    "A picture that would decode": (
        "conformance/test_streaming_damage.py::test_a_decompression_bomb_is_named_and_can_be_skipped",
        f"{FILES}::test_a_bomb_is_refused_before_it_takes_memory",
    ),
    "A saved result that would unpack": (
        f"{RESULTS}::test_a_bomb_is_refused_before_it_goes_off",
        f"{RESULTS}::test_a_header_that_claims_more_than_there_is_takes_no_memory",
    ),
    "Settings of a picture are bounded": (f"{REPLAY}::test_no_setting_is_believed",),
    "Files are written whole": (
        f"{RESULTS}::test_a_write_that_fails_leaves_nothing",
        f"{RESULTS}::test_a_failed_write_leaves_the_old_file",
        "unit/test_paths.py::test_pipes_and_devices_are_neither_read_nor_replaced",
    ),
}
"""Tests by the beginning of the sentence that they keep."""


def sentences() -> list[str]:
    """The promises, one for each sentence of the sections."""
    found: list[str] = []
    for section in SECTIONS:
        text = PAGE.read_text(encoding="utf-8").partition(f"\n## {section}\n")[2].partition("\n## ")[0]
        items = re.findall(r"^- (.+(?:\n  .+)*)", text, re.MULTILINE)
        assert items, section
        found += [
            sentence for item in items for sentence in re.split(r"(?<=[.!?])\s+(?=[A-Z`])", " ".join(item.split()))
        ]
    return found


@pytest.mark.parametrize("sentence", sentences())
def test_every_promise_has_a_test(sentence: str) -> None:
    kept = [tests for start, tests in PROMISES.items() if sentence.startswith(start)]
    assert len(kept) == 1, f"no entry, or several: {sentence}"
    assert kept[0]
    for test in kept[0]:
        file, _, name = test.partition("::")
        assert name in functions(ROOT / "tests" / file), f"there is no {test}"


def test_no_test_is_named_for_a_promise_that_is_not_made() -> None:
    assert not [start for start in PROMISES if not any(sentence.startswith(start) for sentence in sentences())]


def test_a_fault_can_be_reported() -> None:
    text = PAGE.read_text(encoding="utf-8")
    assert "private advisory" in text.partition("## How to report")[2]


@functools.cache
def functions(path: Path) -> frozenset[str]:
    tree = ast.parse(path.read_text(encoding="utf-8"))
    return frozenset(node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef))


@pytest.fixture
def programs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of stand-ins for programs that decoders start, first on the PATH; each leaves a mark there when it is started."""
    folder = tmp_path / "bin"
    folder.mkdir()
    for name in (
        "gs",
        "gswin32c",
        "gswin64c",
        "djpeg",
        "display",
        "convert",
        "netpbm",
        "pnmtopng",
        "ppmtogif",
        "ffmpeg",
    ):
        (folder / name).write_text(f'#!/bin/sh\necho "$0 $@" >> "{folder}/started"\nexit 0\n')
        (folder / name).chmod(stat.S_IRWXU)
    monkeypatch.setenv("PATH", f"{folder}{os.pathsep}{os.environ['PATH']}")
    # Pillow looks for Ghostscript once.
    monkeypatch.setattr("PIL.EpsImagePlugin.gs_binary", None)
    return folder


EPS = b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 32 32\n%%EndComments\n(mark) (w) file closefile\nshowpage\n%%EOF\n"
DOS_EPS = b"\xc5\xd0\xd3\xc6" + (30).to_bytes(4, "little") + len(EPS).to_bytes(4, "little") + bytes(18) + EPS


@pytest.mark.parametrize("ending", [".jpg", ".png", ".tif", ".eps", ""])
@pytest.mark.parametrize("content", [EPS, DOS_EPS], ids=["plain", "with a preview"])
def test_no_program_is_started_for_an_image(
    specimen: Network, tmp_path: Path, programs: Path, content: bytes, ending: str
) -> None:
    path = tmp_path / f"cat{ending}"
    path.write_bytes(content)
    with pytest.raises(PhospheneError):
        ph.activations(specimen, [str(path)], "stage1")
    assert not (programs / "started").exists()


def test_the_stand_in_would_tell(tmp_path: Path, programs: Path) -> None:
    from PIL import Image

    (tmp_path / "cat.jpg").write_bytes(EPS)
    with pytest.raises(OSError), Image.open(tmp_path / "cat.jpg") as opened:  # noqa: PT011  (whatever Pillow says)
        opened.load()
    assert "gs" in (programs / "started").read_text()


def test_only_the_formats_that_are_named_are_opened(specimen: Network, tmp_path: Path) -> None:
    from PIL import Image, features

    named = re.search(r"in the formats (.*?), which", " ".join(PAGE.read_text(encoding="utf-8").split()))
    assert named is not None
    allowed = {name.upper() for name in re.split(r", | and ", named[1])}
    picture = Image.fromarray(np.random.default_rng(0).integers(0, 256, (48, 48, 3), dtype=np.uint8))
    Image.init()
    for kind in sorted({*Image.SAVE} & {*Image.OPEN}):
        stream = io.BytesIO()
        try:
            picture.save(stream, kind)
        except (OSError, ValueError, KeyError, TypeError):
            continue  # of other modes, or not built in
        path = tmp_path / f"{kind.lower()}.png"
        path.write_bytes(stream.getvalue())
        # A file of several formats at once is what its first bytes say.
        with Image.open(path) as opened:
            found = str(opened.format)
        if found in allowed and (found != "AVIF" or features.check("avif")):
            assert ph.activations(specimen, [str(path)], "stage1")["stage1"].shape[0] == 1
        else:
            with pytest.raises(PhospheneError):
                ph.activations(specimen, [str(path)], "stage1")


class Bomb:
    def __init__(self, flag: Path) -> None:
        self.flag = flag

    def __reduce__(self) -> tuple[object, ...]:
        return os.mkdir, (str(self.flag),)


def test_a_result_with_pickled_objects_is_refused(tmp_path: Path) -> None:
    flag, path = tmp_path / "flag", tmp_path / "r.npz"
    objects = np.empty(1, object)
    objects[0] = Bomb(flag)
    np.savez(path, metadata=objects, images=objects)
    for load in (ph.Renders.load, ph.Units.load, ph.Quiz.load, ph.replay):
        with pytest.raises(PhospheneError):
            load(path)
    assert not flag.exists()
    with np.load(path, allow_pickle=True) as archive:
        archive["images"]
    assert flag.exists(), "the bomb was none"


def test_folders_hold_nothing_but_arrays_and_json(specimen: Network, tmp_path: Path) -> None:
    images = np.random.default_rng(0).random((4, *specimen.input.size, 3)).astype(np.float32)
    ph.activations(specimen, images, "stage1", out=tmp_path / "store")
    ph.render_all(specimen, "stage1", tmp_path / "sheet", channels=[0, 1], steps=2, size=32)
    values = np.random.default_rng(0).standard_normal((40, 5)).astype(np.float32)
    ph.Atlas.from_activations({"stage": values}, tmp_path / "atlas")
    for path in (path for path in tmp_path.rglob("*") if path.is_file()):
        if path.suffix == ".npz":
            with np.load(path, allow_pickle=False) as archive:
                assert all(archive[name].dtype != object for name in archive.files)
        elif path.suffix == ".json":
            json.loads(path.read_text(encoding="utf-8"))
        else:
            assert path.suffix == ".html" or "arrays" in path.parts, path  # zarr: JSON and compressed numbers


class Elements(HTMLParser):
    """What a page would load and run."""

    def __init__(self) -> None:
        super().__init__()
        self.scripts, self.policies, self.loads, self.handlers = 0, [], [], []  # type: ignore[var-annotated]

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        self.scripts += tag == "script"
        if given.get("http-equiv") == "Content-Security-Policy":
            self.policies.append(given.get("content"))
        self.loads += [value for name, value in attrs if name in ("src", "href", "action", "data", "srcset", "poster")]
        self.handlers += [name for name in given if name.startswith("on")]


@pytest.mark.parametrize("what", ["cards", "comparison", "units", "quiz"])
@pytest.mark.parametrize("name", ["brackets", "controls", "directions", "half a pair", "Hebrew"])
def test_names_are_text_in_pages(name: str, what: str, tmp_path: Path) -> None:
    text = HOSTILE[name] + '"><img src=x onerror=alert(1)></title></script><script>alert(2)</script>'
    renamed(every_result()[what], text).save(tmp_path / "p.html")
    page = Elements()
    page.feed((tmp_path / "p.html").read_text(encoding="utf-8"))
    assert page.scripts == (what == "quiz")
    assert not page.handlers
    assert all(str(address).startswith("data:image/") for address in page.loads)
    (policy,) = page.policies
    assert policy.startswith("default-src 'none'; ")
    assert "script-src" not in policy or re.search(r"script-src 'sha256-[\w+/=]+';", policy)
    assert "unsafe-eval" not in policy and not re.search(r"https?:|script-src[^;]*unsafe|\*", policy)
