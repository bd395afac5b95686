"""What a comparison writes: a certificate that any reader of JSON takes, and a figure."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from chains import IMAGES, SIZE, STEPS, chain, double, with_fault
from phosphene import errors
from phosphene.port_parity import Parity, parity


@pytest.fixture(scope="module")
def found() -> Parity:
    pytest.importorskip("torch")
    a = chain("torch", STEPS)
    return parity(
        a, chain("torch", [*with_fault(("second", double)), ("last", lambda x: x.mean(2, keepdim=True))]), IMAGES
    )


def test_the_certificate_says_what_was_compared(found: Parity, tmp_path: Path) -> None:
    path = found.save(tmp_path / "new" / "parity.json")
    read = json.loads(path.read_text(), parse_constant=lambda word: pytest.fail(f"{word} is not JSON"))
    assert read == json.loads(json.dumps(found.certificate()))
    assert read["verdict"] == found.verdict + "." and read["equal"] is False and read["tolerance"] == 1e-4
    assert read["parted"] == "second" and [fault["layer"] for fault in read["faults"]] == ["second"]
    assert [network["backend"] for network in read["networks"]] == ["torch", "torch"]
    assert all(len(network["fingerprint"]) == 32 and "torch" in network["versions"] for network in read["networks"])
    assert read["images"]["count"] == 5 and read["images"]["shape"] == [SIZE, SIZE, 3]
    assert [row["layer"] for row in read["table"]] == [row.a for row in found.rows]
    assert read["unmatched"][0]["layer"] == "last" and read["unmatched"][0]["reason"].endswith(
        "no layer of shape 1 x 8 x 3"
    )
    assert [path.name for path in path.parent.iterdir()] == ["parity.json"], "nothing half written is left"


def test_the_hash_is_that_of_the_images(found: Parity) -> None:
    network = chain("torch", STEPS)
    hashes = [parity(network, network, images, gradients=0).images["hash"] for images in (IMAGES, IMAGES[::-1], IMAGES)]
    assert hashes[0] == hashes[2] == found.images["hash"] != hashes[1]


@pytest.mark.parametrize("ending", ["png", "pdf", "svg"])
def test_the_figure_is_written(found: Parity, tmp_path: Path, ending: str) -> None:
    pytest.importorskip("matplotlib")
    start = {"png": b"\x89PNG", "pdf": b"%PDF", "svg": b"<?xml"}[ending]
    assert found.save(tmp_path / f"parity.{ending}").read_bytes().startswith(start)


def test_the_figure_marks_every_layer_and_names_the_fault(found: Parity) -> None:
    pytest.importorskip("matplotlib")
    axis = found.plot().axes[0]
    marks = {mark.get_label(): len(mark.get_offsets()) for mark in axis.collections if mark.get_label()[0] != "_"}
    assert marks == {
        "equal": 1,
        "differs because of earlier layers": 3,
        "differs by itself (named in this colour)": 1,
        "gradient of the image": 5,
    }
    coloured = [text.get_text() for text in axis.get_xticklabels() if text.get_color() != "black"]
    assert coloured == ["second"]
    assert any(text.get_text().startswith("second: ") for text in axis.texts)


def test_another_ending_is_refused(found: Parity, tmp_path: Path) -> None:
    with pytest.raises(errors.InvalidParameter, match=r"a name that ends in \.json, \.npz, \.png, \.svg or \.pdf"):
        found.save(tmp_path / "parity.txt")
    assert list(tmp_path.iterdir()) == []
