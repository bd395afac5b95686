"""A backend of a third party: found by its entry point, with defaults for what it leaves out, and as good as its numbers."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import phosphene as ph
from columns import REFERENCE
from phosphene import warps
from phosphene.backend import Backend, Network, backend_for, backend_named, backend_names
from phosphene.errors import InvalidParameter, UnknownModel
from reference_backend.offers import NOT_OFFERED

pytest.importorskip("autograd")

TESTS = Path(__file__).parents[1]


def run(program: str, *paths: Path) -> str:
    """What a fresh interpreter prints, with further folders on its path."""
    path = os.pathsep.join([*map(str, paths), *(entry for entry in sys.path if entry and entry != str(TESTS))])
    done = subprocess.run(
        [sys.executable, "-c", program],
        env=os.environ | {"PYTHONPATH": path},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def third_party(folder: Path, name: str, package: str, source: str | None) -> None:
    """A distribution that registers a backend, and the module that it is in, unless that is missing."""
    (folder / f"{name}-1.0.dist-info").mkdir()
    (folder / f"{name}-1.0.dist-info" / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n")
    (folder / f"{name}-1.0.dist-info" / "entry_points.txt").write_text(
        f"[phosphene.backends]\n{name} = {package}:backend\n"
    )
    if source is not None:
        (folder / f"{package}.py").write_text(source)


def test_a_model_of_a_third_party_finds_its_backend_beside_both_frameworks() -> None:
    program = """
import jax, torch
import phosphene as ph
from reference_backend import Model
def pixels(weights, images):
    return (yield "pixels", images.mean((1, 2)))
print(ph.wrap(Model(pixels, {}), size=8).backend.name)
"""
    assert run(program, TESTS) == REFERENCE


def test_wrapping_a_model_of_pytorch_imports_no_other_backend() -> None:
    pytest.importorskip("torch")
    program = """
import sys, phosphene as ph
assert not {"torch", "jax", "reference_backend", "autograd"} & set(sys.modules)
import torch
ph.wrap(torch.nn.Conv2d(3, 2, 3), size=8)
print(sorted({"jax", "phosphene_jax", "reference_backend", "autograd"} & set(sys.modules)))
"""
    assert run(program, TESTS) == "[]"


def test_a_backend_that_nothing_points_to_is_asked_last(tmp_path: Path) -> None:
    source = "class Odd:\n    name = 'odd'\n    def owns(self, model): return model == 3\nbackend = Odd()"
    third_party(tmp_path, "odd", "odd_backend", source)
    program = "import torch; from phosphene.backend import backend_for; print(backend_for(3).name)"
    assert run(program, tmp_path) == "odd"


def test_a_backend_that_cannot_be_imported_is_named(tmp_path: Path) -> None:
    third_party(tmp_path, "broken", "broken_backend", "import no_such_framework")
    program = """
import phosphene as ph
for call in (lambda: ph.wrap(3, size=8), lambda: ph.load("specimen", backend="broken")):
    try:
        call()
    except ph.PhospheneError as error:
        print(type(error).__name__, error)
"""
    wrapped, loaded = run(program, tmp_path).splitlines()
    said = "backend 'broken': broken_backend cannot be imported (No module named 'no_such_framework')"
    assert wrapped.startswith("UnknownModel") and said in wrapped
    assert loaded.startswith("MissingBackend") and said in loaded


def test_it_is_among_the_names() -> None:
    assert backend_names()[:2] == ("torch", "jax") and REFERENCE in backend_names()
    assert backend_for(backend_named(REFERENCE).build(*embedded())).name == REFERENCE
    with pytest.raises(UnknownModel, match=r"expected a torch\.nn\.Module"):
        backend_for(3)


def test_the_oracle_agrees_in_float64(load: Callable[..., Network]) -> None:
    pytest.importorskip("torch")
    slow, fast = (load("specimen", name, "float64") for name in (REFERENCE, "torch"))
    images = np.random.default_rng(0).random((2, 32, 40, 3)).astype(np.float32)
    assert list(slow.layers) == list(fast.layers)
    read, wanted = (ph.activations(network, images, list(network.layers)) for network in (slow, fast))
    for path, value in wanted.items():
        np.testing.assert_allclose(read[path], value, rtol=1e-6, atol=1e-6)
    targets = [ph.channel("stage2", 3), ph.logit("coins")]
    options: dict[str, Any] = {"size": 32, "steps": 12, "progress": False}
    ours, theirs = (ph.render(network, targets, **options) for network in (slow, fast))
    np.testing.assert_allclose(ours.images, theirs.images, atol=1e-6)
    np.testing.assert_allclose(ours.history, theirs.history, rtol=1e-9)


class Bare(Backend):
    """No more than has to be supplied, as far as the defaults ask for it."""

    name = "bare"
    xp = np


def test_the_defaults_are_slow_and_right() -> None:
    backend = Bare()
    assert backend.run(lambda a, b: a - b, 5, 3) == 2 and not backend.compiled
    carry, seen = backend.loop(
        lambda constants, carry, x: (carry + constants * x["a"], {"y": carry}), 2.0, np.ones(2), {"a": np.arange(4.0)}
    )
    np.testing.assert_array_equal(carry, [13.0, 13.0])
    np.testing.assert_array_equal(seen["y"][:, 0], [1.0, 1.0, 3.0, 7.0])
    images = np.random.default_rng(0).random((2, 5, 6, 3))
    matrices = warps.exact(np.array([[[0.9, 0.1, 0.5], [-0.1, 1.1, 0.0]]] * 2))
    np.testing.assert_array_equal(
        backend.warp(images, matrices, (4, 4), fill=0.5), warps.warp(np, images, matrices, (4, 4), fill=0.5)
    )
    assert tuple(backend.devices()) == () and backend.memory("cpu") is None


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda backend: backend.jvp(abs), "backend: expected a backend with forward-mode derivatives .*got 'bare'"),
        (lambda backend: backend.with_rule(None, abs), "backend: expected a backend with backward rules .*warm_up=0"),
        (lambda backend: backend.nonlinearities(abs, 1.0), "backend: expected a backend with backward rules"),
        (lambda backend: backend.build(None, {}), "backend: expected a backend with the embedded networks"),
        (
            lambda backend: backend.optimizer(3),
            "optimizer: expected ph.optimizers.adam or another of ph.optimizers with backend 'bare', got 3",
        ),
    ],
)
def test_what_is_left_out_is_said(call: Callable[[Backend], Any], message: str) -> None:
    with pytest.raises(InvalidParameter, match=message):
        call(Bare())


def test_what_is_not_offered_is_what_tests_ask_for() -> None:
    text = "\n".join(path.read_text() for path in TESTS.rglob("test_*.py"))
    files = {name for path in TESTS.rglob("test_*.py") for name in (path.stem, path.parent.name)}
    asked = {name for name in NOT_OFFERED if f"def {name}(" in text or name in files}
    asked |= {name for name in NOT_OFFERED if f'needs("{name}")' in text or f'need="{name}"' in text}
    assert asked | {"odd widths"} == set(NOT_OFFERED)
    assert all(reason.endswith(".") for reason in NOT_OFFERED.values())


def test_it_stays_short_enough_to_be_read() -> None:
    lines = (TESTS / "reference_backend" / "backend.py").read_text().splitlines()
    assert sum(bool(line.strip()) for line in lines) < 150


def embedded() -> Any:
    from phosphene import specimen

    return specimen.load("specimen")
