"""The example that trains networks of one's own: what it learns, what it writes, and what its class pictures show.

Neither is of the specimen's architecture, and no recipe of the ascent was made for them.
"""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest

import phosphene as ph
from phosphene.backend import Network

torch = pytest.importorskip("torch")

EXAMPLES = Path(__file__).parents[2] / "examples"


@pytest.fixture
def script(monkeypatch: pytest.MonkeyPatch) -> Iterator[ModuleType]:
    """The script as it imports itself when it is run: from its own folder."""
    monkeypatch.syspath_prepend(str(EXAMPLES))
    names = ("architectures", "train_on_photographs")
    yield importlib.import_module("train_on_photographs")
    for name in names:
        sys.modules.pop(name, None)


@pytest.mark.parametrize("kind", ["cnn", pytest.param("vit", marks=pytest.mark.slow)])
def test_a_few_steps_learn_something_and_the_file_gives_the_same_network(
    kind: str, script: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    short = replace(script.RECIPES[kind], batch=32, pool=720)
    monkeypatch.setitem(script.RECIPES, kind, short)
    train, trained = script.train, []

    def recorded(*given: Any, **options: Any) -> Any:
        trained.append(train(*given, **options))
        return trained[-1]

    monkeypatch.setattr(script, "train", recorded)
    script.main([kind, "--steps", "40", "--out", str(tmp_path / "weights.safetensors")])
    assert [path.name for path in tmp_path.iterdir()] == ["weights.safetensors"]
    said = capsys.readouterr().out
    assert "step   40 of 40" in said
    model = script.load(tmp_path / "weights.safetensors")
    assert not model.training
    assert script.accuracy(model, trials=180) >= 4 / 18
    assert len(trained) == 1
    assert all(torch.equal(value, trained[0].state_dict()[key]) for key, value in model.state_dict().items())
    twice = [train(kind, 3).state_dict() for _ in range(2)]
    assert all(torch.equal(value, twice[1][key]) for key, value in twice[0].items())


def test_layers_of_the_transformer_are_named_as_elsewhere(script: ModuleType) -> None:
    network = ph.wrap(
        script.build("vit").eval(), size=script.SIZE, mean=script.MEAN, std=script.STD, classes=script.CLASSES
    )
    assert {"patch_embed", "blocks.0.attn", "blocks.0.mlp.fc1", "norm", "head"} <= set(network.layers)


@pytest.mark.slow
@pytest.mark.parametrize(("kind", "size"), [("cnn", 96), ("vit", 64)])
def test_default_class_pictures_are_recognised_by_the_witness(
    kind: str, size: int, script: ModuleType, load: Callable[..., Network]
) -> None:
    model, witness = script.train(kind), load("specimen-witness", "torch")
    assert script.accuracy(model) >= 0.95
    network = ph.wrap(model, size=script.SIZE, mean=script.MEAN, std=script.STD, classes=script.CLASSES)
    renders = ph.render(network, [ph.logit(name) for name in script.CLASSES], size=size, progress=False)
    seen = ph.activations(witness, renders.images, "output")["output"].argmax(axis=1)
    assert (seen == np.arange(len(script.CLASSES))).sum() >= len(script.CLASSES) - 3
