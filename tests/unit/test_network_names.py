"""Names of networks: of the loader, of the model's own configuration, or given; and two of one name told apart."""

from __future__ import annotations

import types
from pathlib import Path
from typing import Any

import pytest

import phosphene as ph
from command_line import run
from phosphene.comparison.call import names_of
from small_models import small_network

FACTORIES = """
import phosphene as ph
from small_models import small_network

def small_pond():
    return small_network({backend!r})

def ready():
    return ph.wrap(small_network({backend!r}), size=12, classes=["elm", "ash", "elm", "oak", "fir"], name="ready made")
"""


@pytest.fixture
def factories(backend: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """The name of a module of factories."""
    name = f"ponds_of_{backend.replace('-', '_')}"
    (tmp_path / f"{name}.py").write_text(FACTORIES.format(backend=backend))
    monkeypatch.chdir(tmp_path)
    return name


def test_a_model_is_called_by_its_factory(factories: str) -> None:
    assert ph.load(f"{factories}:small_pond", size=12).name == "small_pond"
    assert ph.load(f"{factories}:ready").name == "ready made"


@pytest.mark.parametrize(
    ("carried", "name"),
    [
        ({"pretrained_cfg": {"architecture": "pondnet_b2", "tag": "in12k"}}, "pondnet_b2.in12k"),
        ({"pretrained_cfg": {"architecture": "pondnet_b2"}}, "pondnet_b2"),
        ({"config": types.SimpleNamespace(name_or_path="lake/pondnet-base")}, "pondnet-base"),
        ({"config": types.SimpleNamespace(name_or_path="")}, "Model"),
        ({"config": {"width": 3}}, "Model"),
    ],
)
def test_a_model_that_knows_its_name_is_called_by_it(carried: dict[str, Any], name: str) -> None:
    pytest.importorskip("torch")
    model = small_network("torch")
    for attribute, value in carried.items():
        setattr(model, attribute, value)
    assert ph.wrap(model, size=12).name == name
    assert ph.wrap(model, size=12, name="mine").name == "mine"


def test_networks_of_one_name_are_told_apart_by_what_differs(backend: str) -> None:
    net = ph.wrap(small_network(backend), size=12, name="pond")
    larger = ph.wrap(small_network(backend), size=16, name="pond")
    other = net.with_weights(lambda path, array: array * 0.5)
    lake = ph.wrap(small_network(backend), size=12, name="lake")
    assert names_of([net, lake]) == ("pond", "lake")
    assert names_of([net, larger, lake]) == ("pond, 12 x 12 pixels", "pond, 16 x 16 pixels", "lake")
    first, second, third = names_of([net, other, lake])
    assert first == f"pond, weights {net.fingerprint()[:6]}" and third == "lake"
    assert second == f"pond, weights {other.fingerprint()[:6]}" != first
    assert names_of([net, net]) == ("pond 1", "pond 2")


def test_networks_of_one_class_are_told_apart_by_their_parameters() -> None:
    torch = pytest.importorskip("torch")

    def pond(width: int) -> Any:
        layers = [torch.nn.Conv2d(3, width, 3), torch.nn.Flatten(), torch.nn.Linear(width * 100, 2)]
        return ph.wrap(torch.nn.Sequential(*layers).eval(), size=12)

    assert names_of([pond(4), pond(6)]) == ("Sequential, 914 parameters", "Sequential, 1,370 parameters")


def test_the_command_line_speaks_of_its_own_options(
    factories: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parents[1]), prepend=":")
    missing = run("layers", f"{factories}:small_pond", cwd=tmp_path)
    assert missing.returncode == 2
    assert "phosphene: --input-size: expected the native input size" in missing.stderr
    assert "--input-size 224" in missing.stderr and "size=224" not in missing.stderr
    stated = run("layers", f"{factories}:ready", "--input-size", "14", cwd=tmp_path)
    assert stated.returncode == 2
    assert "--input-size: expected nothing, since" in stated.stderr and "It is stated in the factory" in stated.stderr
    report = run("layers", f"{factories}:ready", "--report", cwd=tmp_path)
    assert report.returncode == 0, report.stderr
    assert (
        report.stdout.startswith("network:        ready made, 12 x 12 pixels, ") and "random numbers:" in report.stdout
    )
    twice = run("attribute", f"{factories}:ready", "photos:1", "--target", "elm", cwd=tmp_path)
    assert twice.returncode == 2 and "2 classes of that name, 0 or 2" in twice.stderr
