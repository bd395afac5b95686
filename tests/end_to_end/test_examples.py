"""Every example runs, and those that are ports of the specimen are the specimen."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import phosphene as ph
from phosphene.data import Crops

EXAMPLES = Path(__file__).parents[2] / "examples"
PORTS = {"flax_nnx": "flax", "flax_linen": "flax", "equinox_module": "equinox", "plain_function": "jax"}
SLOW = ("flax_linen", "equinox_module", "plain_function")


@pytest.fixture(autouse=True)
def _importable(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Examples import one another as they do when they are run: from their own folder."""
    before = set(sys.modules)
    monkeypatch.syspath_prepend(str(EXAMPLES))
    yield
    for name in set(sys.modules) - before:
        if (EXAMPLES / f"{name}.py").is_file():
            del sys.modules[name]


def _run(name: str, layer: str, out: Path, size: int | None = None) -> Any:
    module = importlib.import_module(name)
    network = module.network()
    pictures = importlib.import_module("show").show(network, layer, out=out, steps=2, size=size)
    assert len(list(out.glob("*.png"))) == 2
    assert pictures.images.shape[0] == 6
    return network


@pytest.mark.parametrize("name", [pytest.param(name, marks=pytest.mark.slow if name in SLOW else ()) for name in PORTS])
def test_ports_of_the_specimen(name: str, tmp_path: Path) -> None:
    pytest.importorskip(PORTS[name])
    network = _run(name, "stem", tmp_path, size=32)
    images = Crops(4, seed=1).images()
    wanted = ph.activations(ph.load("specimen", backend="jax"), images, "output")["output"]
    got = ph.activations(network, images, "output")["output"]
    assert np.abs(got - wanted).max() <= 1e-4 * np.abs(wanted).max()


@pytest.mark.parametrize(("name", "layer"), [("cnn", "blocks.1"), ("vit", "blocks.1")])
def test_networks_that_are_trained_first(
    name: str, layer: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("torch")
    training = importlib.import_module("train_on_photographs")
    monkeypatch.setitem(training.RECIPES, name, replace(training.RECIPES[name], steps=10, batch=18, pool=36))
    monkeypatch.chdir(tmp_path)
    network = _run(name, layer, tmp_path)
    assert (tmp_path / "out" / "examples" / f"{name}.safetensors").exists()
    assert "training" in capsys.readouterr().out
    if name == "vit":
        importlib.import_module("vit").attended(network)
        assert capsys.readouterr().out.count("the class token attends most") == 4
