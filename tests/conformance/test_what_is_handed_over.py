"""What people hand over as images is taken alike by every call, on every backend; or refused, with the way out."""

from __future__ import annotations

import re
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import phosphene as ph
from handed_over import PAGE, REFUSED, SIZE, TAKEN, Kind, Refused, floats, pixels, with_tables, write_files
from phosphene.data.streams import loaded
from phosphene.errors import PhospheneError
from small_models import reference, small_network

KINDS = pytest.mark.parametrize("kind", [pytest.param(kind, id=kind.name) for kind in TAKEN])
OTHERS = pytest.mark.parametrize("kind", [pytest.param(kind, id=kind.name) for kind in REFUSED])
LAYER = "conv"


class Entered(BaseException):
    """Ends a call when its images have come in; no handler of exceptions catches it."""

    def __init__(self, images: Any) -> None:
        self.images = images


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[int, Path]:
    """Folders with the files of one and of two pictures."""
    found = {}
    for count in (1, 2):
        found[count] = tmp_path_factory.mktemp("handed") / f"of-{count}"
        write_files(found[count], pixels(count))
    return found


@pytest.fixture(scope="module")
def networks() -> Callable[[str], Any]:
    made: dict[str, Any] = {}

    def of(backend: str) -> Any:
        if backend not in made:
            made[backend] = ph.wrap(small_network(backend), size=SIZE)
        return made[backend]

    return of


def made(kind: Kind, count: int, folders: dict[int, Path]) -> Any:
    if kind.missing:
        pytest.skip(f"needs {', '.join(kind.needs)}")
    return kind.make(pixels(count), folders[count])


@KINDS
def test_everything_is_taken_in_memory_and_on_disk(
    kind: Kind, backend: str, networks: Callable[[str], Any], folders: dict[int, Path], tmp_path: Path
) -> None:
    network = networks(backend)
    wanted = reference(backend, floats(pixels(2)))[LAYER]
    found = ph.activations(network, made(kind, 2, folders), LAYER)[LAYER]
    np.testing.assert_allclose(found, wanted, rtol=1e-4, atol=1e-4)
    store = ph.activations(network, made(kind, 2, folders), LAYER, out=tmp_path / "store", progress=False)
    np.testing.assert_allclose(store.read(LAYER, 0, len(wanted)), wanted, rtol=1e-4, atol=1e-4)
    with ThreadPoolExecutor(2) as executor:
        ahead = ph.activations(network, made(kind, 2, folders), LAYER, executor=executor)[LAYER]
    np.testing.assert_allclose(ahead, wanted, rtol=1e-4, atol=1e-4)


def test_bytes_and_floats_of_one_picture_are_the_same_to_a_network(
    backend: str, networks: Callable[[str], Any]
) -> None:
    network, images = networks(backend), pixels(2)
    as_bytes, as_floats = (ph.activations(network, given, [LAYER, "output"]) for given in (images, floats(images)))
    for path, values in as_bytes.items():
        np.testing.assert_allclose(values, as_floats[path], rtol=1e-6, atol=1e-6)


Calls = dict[str, tuple[int, Callable[[Any, Any, Path], Any]]]
RECIPE: dict[str, Any] = {"steps": 1, "progress": False}
UNIT = ph.channel(LAYER, 0)

CALLS: Calls = {
    "activations": (2, lambda net, given, out: ph.activations(net, given, LAYER)),
    "activations, out=": (2, lambda net, given, out: ph.activations(net, given, LAYER, out=out, progress=False)),
    "attribute": (2, lambda net, given, out: ph.attribute(net, given, ph.logit(0), method="gradient", progress=False)),
    "units": (2, lambda net, given, out: ph.units(net, given, LAYER, progress=False)),
    "embed": (2, lambda net, given, out: ph.embed(net, given, LAYER, progress=False)),
    "probe": (2, lambda net, given, out: ph.probe(net, given, [0, 1] * 5, LAYER)),
    "feature_maps": (2, lambda net, given, out: ph.feature_maps(net, given, LAYER)),
    "diagnose": (2, lambda net, given, out: ph.diagnose(net, images=given)),
    "concept": (2, lambda net, given, out: ph.concept(net, LAYER, given, pixels(2))),
    "compare": (2, lambda net, given, out: ph.compare([net, net], images=given)),
    "parity": (2, lambda net, given, out: ph.parity(net, net, given)),
    "render": (2, lambda net, given, out: ph.render(net, [UNIT, ph.channel(LAYER, 1)], start=given, **RECIPE)),
    "invert": (2, lambda net, given, out: ph.invert(net, given, LAYER, **RECIPE)),
    "dream": (1, lambda net, given, out: ph.dream(net, given, UNIT, **RECIPE)),
    "accentuate": (1, lambda net, given, out: ph.accentuate(net, given, UNIT, layer=LAYER, **RECIPE)),
    "quiz": (2, lambda net, given, out: ph.quiz(net, pictures_of(net), given, objectives=[UNIT])),
    "assess": (2, lambda net, given, out: ph.assess(net, pictures_of(net), given, objectives=[UNIT], progress=False)),
    "Atlas.build": (2, lambda net, given, out: ph.Atlas.build(net, given, LAYER, out, progress=False)),
}
"""Calls that take images, and how many each is given here."""


def pictures_of(network: Any) -> ph.Renders:
    from result_instances import small_renders

    return small_renders()[:1]


@pytest.fixture
def door(monkeypatch: pytest.MonkeyPatch) -> Iterator[dict[str, Any]]:
    """Ends a call when it has read what stands under "given", with its pixels; whatever else it reads is let through."""
    from phosphene.data import in_memory, sources
    from phosphene.rendering import start

    expected: dict[str, Any] = {"given": None, "inner": False}
    for name in dir(ph):
        getattr(ph, name)  # imports the modules of all calls

    def guarded(original: Callable[..., Any], pixels_of: Callable[[Any, Any], Any]) -> Callable[..., Any]:
        def call(images: Any, spec: Any, *args: Any, **options: Any) -> Any:
            if images is not expected["given"] or expected["inner"]:
                return original(images, spec, *args, **options)
            expected["inner"] = True
            try:
                raise Entered(pixels_of(original(images, spec, *args, **options), spec))
            finally:
                expected["inner"] = False

        return call

    read = guarded(in_memory.read_images, lambda array, spec: array)
    opened = guarded(sources.source_of, lambda source, spec: loaded(source, None, spec.channels))
    replaced = {in_memory.read_images: read, sources.source_of: opened}
    for module in [module for name, module in sys.modules.items() if name.startswith("phosphene.")]:
        for name in ("read_images", "source_of"):
            original = vars(module).get(name)
            if original in replaced:
                monkeypatch.setattr(module, name, replaced[original])

    class AsTheyAre:
        """A parameterization whose parameters are the pixels."""

        def encode(self, image: Any) -> Any:
            return image

    def starts(given: Any, count: int, spec: Any, size: Any, parameterization: Any) -> Any:
        if given is None:
            return None
        expected["inner"] = True  # floats and results are pictures already
        try:
            raise Entered(np.stack(start.starts(given, count, spec, size, AsTheyAre())))  # type: ignore[arg-type]
        finally:
            expected["inner"] = False

    monkeypatch.setattr("phosphene.rendering.call.starts", starts)
    yield expected
    expected["given"] = None


@pytest.mark.parametrize("call", CALLS)
def test_every_call_takes_them_alike(
    call: str,
    backend: str,
    networks: Callable[[str], Any],
    folders: dict[int, Path],
    door: dict[str, Any],
    tmp_path: Path,
) -> None:
    count, run = CALLS[call]
    network, wanted = networks(backend), floats(pixels(count))
    wrong = []
    for number, kind in enumerate(kind for kind in TAKEN if not kind.missing):
        door["given"] = given = made(kind, count, folders)
        try:
            run(network, given, tmp_path / str(number))
            wrong.append(f"{kind.name}: went past the door")
        except Entered as entered:
            if entered.images.shape != wanted.shape or np.abs(entered.images - wanted).max() > 1e-6:
                wrong.append(f"{kind.name}: other pixels")
        except PhospheneError as error:
            if not (kind.once and call in TWICE and TWICE[call] in str(error)):
                wrong.append(f"{kind.name}: {error}")
    assert wrong == [], "\n".join(wrong)


@pytest.mark.parametrize("call", CALLS)
def test_every_call_refuses_the_rest_with_the_way_out(
    call: str, networks: Callable[[str], Any], folders: dict[int, Path], door: dict[str, Any], tmp_path: Path
) -> None:
    network = networks("torch")
    wrong = []
    for number, kind in enumerate(kind for kind in REFUSED if not kind.missing):
        door["given"] = given = made(kind, 2, folders)
        try:
            CALLS[call][1](network, given, tmp_path / str(number))
            wrong.append(f"{kind.name}: was taken")
        except Entered:
            wrong.append(f"{kind.name}: was taken")
        except PhospheneError as error:
            if not _says(error, kind, call):
                wrong.append(f"{kind.name}: {type(error).__name__}: {error}")
    assert wrong == [], "\n".join(wrong)


TWICE = {"compare": "read once per network", "Atlas.build": "read twice"}
"""Calls that read images more than once, and ask for a list where they are given an iterator."""

OTHER_WORDS = {
    ("compare", "iterable without a length"): "read once per network",
    ("compare", "iterable that ends early"): "read once per network",
    # The number of pictures is checked before any of them is read.
    ("render", "iterable that ends early"): "one per objective",
    ("render", "numbers"): "one per objective",
    ("render", "data whose items raise"): "one per objective",
    ("render", "data set that is longer than its data"): "one per objective",
    ("render", "array of 0 to 255 as floats"): "Divide values of 0 to 255 by 255",
    ("render", "normalised array"): "values in",
    ("render", "array with NaN"): "values in",
    ("render", "masked array"): "masked",
    ("render", "grey array for a network of three channels"): "got shape",
    ("invert", "grey array for a network of three channels"): "got shape",
    ("probe", "iterable without a length"): "labels: expected 2 items .one per image",  # the labels give its length
    ("concept", "nothing"): "at least 5 images",
    ("Atlas.build", "iterable without a length"): "read twice",
    ("Atlas.build", "iterable that ends early"): "read twice",
}
"""Where a call has a reason of its own to refuse them, and says it."""


def _says(error: PhospheneError, kind: Refused, call: str) -> bool:
    says = OTHER_WORDS.get((call, kind.name))
    if says is not None:
        return re.search(says, str(error)) is not None
    return type(error) is kind.error and re.search(kind.says, str(error)) is not None


@OTHERS
def test_what_is_refused_is_refused_before_a_store_is_written(
    kind: Refused, networks: Callable[[str], Any], folders: dict[int, Path], tmp_path: Path
) -> None:
    with pytest.raises(kind.error, match=kind.says):
        ph.activations(networks("torch"), made(kind, 2, folders), LAYER, out=tmp_path / "store", progress=False)


def test_the_page_has_the_tables() -> None:
    page = PAGE.read_text(encoding="utf-8")
    assert page == with_tables(page), "python tests/handed_over.py --write"
