"""A framework that is not installed is named together with the command that installs it, and the other works."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
from pathlib import Path

import pytest

import phosphene

PACKAGES = {"torch": ("torch",), "jax": ("jax", "jaxlib", "flax", "optax")}
OTHER = {"torch": "jax", "jax": "torch"}


HIDE = """
import sys
class Blind:
    def __init__(self, finder):
        self.finder = finder
    def find_spec(self, name, path=None, target=None):
        return None if name.partition(".")[0] in {packages!r} else self.finder.find_spec(name, path, target)
    def __getattr__(self, name):
        return getattr(self.finder, name)
sys.meta_path[:] = [Blind(finder) for finder in sys.meta_path]
"""


def without(packages: tuple[str, ...], program: str) -> subprocess.CompletedProcess[str]:
    """Run `program` in a fresh interpreter whose finders do not see `packages`, just as if they were not installed."""
    roots = {str(Path(phosphene.__file__).parents[1])}
    for backend in ("phosphene_torch", "phosphene_jax"):
        spec = importlib.util.find_spec(backend)
        assert spec is not None and spec.origin is not None
        roots.add(str(Path(spec.origin).parents[1]))
    hide = HIDE.format(packages=packages)
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(sorted(roots))}
    return subprocess.run(
        [sys.executable, "-c", hide + program], env=environment, capture_output=True, text=True, check=False
    )


ASK = """
import phosphene as ph
try:
    ph.load("specimen", backend={name!r})
except ph.PhospheneError as error:
    assert isinstance(error, ImportError)
    print(error)
"""

WRAP_TORCH = """
import phosphene as ph
import torch
network = ph.wrap(torch.nn.Conv2d(3, 2, 3), size=8)
"""

WRAP_JAX = """
import jax.numpy as jnp
import phosphene as ph
network = ph.wrap(lambda images: jnp.tanh(images.mean((1, 2))), size=8)
"""

RENDER = """
renders = ph.render(network, ph.logit(0), size=8, steps=2, progress=False)
print(network.backend.name, renders.images.shape)
"""


@pytest.mark.parametrize("name", ["torch", "jax"])
def test_asking_for_a_missing_framework_names_the_command_that_installs_it(name: str) -> None:
    asked = without(PACKAGES[name], ASK.format(name=name))
    assert asked.returncode == 0, asked.stderr
    assert f"{name} is not installed" in asked.stdout
    assert f"pip install 'phosphene[{name}]'" in asked.stdout


def test_flax_alone_missing_is_said_as_well() -> None:
    pytest.importorskip("jax")
    asked = without(("flax",), ASK.format(name="jax"))
    assert asked.returncode == 0, asked.stderr
    assert "pip install 'phosphene[jax]'" in asked.stdout


@pytest.mark.parametrize("name", ["torch", "jax"])
def test_the_command_line_says_so_in_one_line_and_fails_with_status_1(name: str, tmp_path: Path) -> None:
    arguments = ["phosphene", "demo", "--backend", name, "--out", str(tmp_path / "page")]
    asked = without(PACKAGES[name], f"from phosphene.cli import main\nsys.argv = {arguments!r}\nmain()")
    assert asked.returncode == 1
    assert f"pip install 'phosphene[{name}]'" in asked.stderr
    assert "Traceback" not in asked.stderr
    assert len(asked.stderr.splitlines()) == 1


@pytest.mark.parametrize("name", ["torch", "jax"])
def test_one_framework_works_without_the_other(name: str) -> None:
    pytest.importorskip(name)
    wrap = {"torch": WRAP_TORCH, "jax": WRAP_JAX}[name]
    made = without(PACKAGES[OTHER[name]], wrap + RENDER)
    assert made.returncode == 0, made.stderr
    assert made.stdout.split() == [name, "(1,", "8,", "8,", "3)"]


@pytest.mark.parametrize("name", ["torch", "jax"])
def test_the_specimen_loads_without_the_other_framework(name: str) -> None:
    pytest.importorskip(name)
    program = f"import phosphene as ph\nprint(ph.load('specimen', backend={name!r}).backend.name)"
    made = without(PACKAGES[OTHER[name]], program)
    assert made.returncode == 0, made.stderr
    assert made.stdout.strip() == name


def test_core_works_with_neither() -> None:
    both = (*PACKAGES["torch"], *PACKAGES["jax"])
    made = without(both, "import phosphene as ph, phosphene.cli\nprint(ph.transforms.jitter(4))")
    assert made.returncode == 0, made.stderr


def test_an_object_of_no_framework_is_refused_with_what_is_taken() -> None:
    both = (*PACKAGES["torch"], *PACKAGES["jax"])
    program = """
import phosphene as ph
try:
    ph.wrap(object(), size=8)
except ph.PhospheneError as error:
    print(type(error).__name__, error)
"""
    made = without(both, program)
    assert made.returncode == 0, made.stderr
    assert made.stdout.startswith("UnknownModel")
    assert "torch.nn.Module" in made.stdout
