"""Fixtures shared by all rooms of the suite."""

from __future__ import annotations

from collections.abc import Callable

import pytest

import phosphene as ph
from phosphene.backend import Network
from small_models import KINDS

PACKAGES = {"torch": "torch", "jax": "jax", "nnx": "flax", "linen": "flax", "stack": "flax", "equinox": "equinox"}


def _installed(name: str) -> None:
    pytest.importorskip(PACKAGES.get(name, "jax"))


@pytest.fixture(params=["torch", "jax"])
def backend(request: pytest.FixtureRequest) -> str:
    """Each backend in turn."""
    _installed(request.param)
    return str(request.param)


@pytest.fixture(params=KINDS)
def kind(request: pytest.FixtureRequest) -> str:
    """Each kind of model in turn."""
    _installed(request.param)
    return str(request.param)


@pytest.fixture(scope="session")
def load() -> Callable[..., Network]:
    """`phosphene.load`, each network once a session."""
    loaded: dict[tuple[str, str, str | None], Network] = {}

    def cached(name: str, backend: str, dtype: str | None = None) -> Network:
        _installed(backend)
        key = (name, backend, dtype)
        if key not in loaded:
            loaded[key] = ph.load(name, backend=backend, dtype=dtype)
        return loaded[key]

    return cached


@pytest.fixture
def specimen(backend: str, load: Callable[..., Network]) -> Network:
    """The specimen on each backend."""
    return load("specimen", backend)


@pytest.fixture(params=["torch", pytest.param("jax", marks=pytest.mark.slow)])
def costly_backend(request: pytest.FixtureRequest) -> str:
    """PyTorch, and among the slow tests JAX: for what compiles many programs."""
    _installed(request.param)
    return str(request.param)


@pytest.fixture
def costly_specimen(costly_backend: str, load: Callable[..., Network]) -> Network:
    """The specimen on each backend, on JAX among the slow tests."""
    return load("specimen", costly_backend)
