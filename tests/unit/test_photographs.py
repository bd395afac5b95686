"""The photographs are read from the wheels' own folders, without the network, and alike whatever their file holds."""

from __future__ import annotations

import importlib.util
import socket
from dataclasses import FrozenInstanceError

import numpy as np
import pytest

from phosphene.data import PHOTOGRAPHS, Photograph, read
from phosphene.data.photographs import pixels
from phosphene.errors import MissingDependency

pytest.importorskip("skimage")
pytest.importorskip("sklearn")


@pytest.mark.parametrize("photograph", PHOTOGRAPHS, ids=lambda photograph: photograph.name)
def test_reads_as_rgb_in_unit_range(photograph: Photograph) -> None:
    image = read(photograph)
    assert image.dtype == np.float32
    assert image.ndim == 3 and image.shape[2] == 3
    assert min(image.shape[:2]) >= 64
    assert 0 <= image.min() < 0.3 and 0.5 < image.max() <= 1
    assert image.std() > 0.02


def test_names_and_files_are_distinct() -> None:
    assert len({photograph.name for photograph in PHOTOGRAPHS}) == len(PHOTOGRAPHS) == 18
    assert len({photograph.file for photograph in PHOTOGRAPHS}) == len(PHOTOGRAPHS)


def test_every_photograph_says_what_is_known_of_it() -> None:
    assert all(photograph.title and photograph.licence and photograph.source for photograph in PHOTOGRAPHS)


def test_grey_photographs_have_equal_channels() -> None:
    image = read(named("brick"))
    np.testing.assert_array_equal(image[..., 0], image[..., 2])


def test_colour_keeps_its_order() -> None:
    red, _, blue = read(named("coffee")).mean(axis=(0, 1))
    assert red > blue


def test_no_connection_is_made(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*arguments: object, **options: object) -> None:
        raise AssertionError("reached for the network")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    pixels.cache_clear()
    for photograph in PHOTOGRAPHS:
        read(photograph)


def test_what_is_read_once_cannot_be_changed() -> None:
    with pytest.raises(ValueError, match="read-only"):
        pixels(named("coins"))[0, 0] = 0
    first = read(named("coins"))
    first[:] = 0
    assert read(named("coins")).max() > 0


@pytest.mark.parametrize(("name", "package"), [("coins", "scikit-image"), ("china", "scikit-learn")])
def test_a_missing_package_is_named_with_its_remedy(name: str, package: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    pixels.cache_clear()
    with pytest.raises(MissingDependency, match=rf"{package} is not installed.*pip install 'phosphene\[demo\]'"):
        read(named(name))


def test_a_photograph_is_frozen() -> None:
    with pytest.raises(FrozenInstanceError):
        PHOTOGRAPHS[0].name = "other"  # type: ignore[misc]


def named(name: str) -> Photograph:
    return next(photograph for photograph in PHOTOGRAPHS if photograph.name == name)
