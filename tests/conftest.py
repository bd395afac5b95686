"""Fixtures shared by all rooms of the suite."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Callable

import pytest

import phosphene as ph
from columns import BACKENDS, left_out, reason
from phosphene.backend import Network
from small_models import KINDS

COMPILED = pytest.StashKey[str]()


def pytest_configure(config: pytest.Config) -> None:
    """Let the run's processes share what JAX compiles: its workers, and the command lines and examples that tests start.

    JAX reads these variables when it is imported. Without a cache each worker, and each process that a test starts, would compile
    the embedded network's programs anew.
    """
    if hasattr(config, "workerinput") or "JAX_COMPILATION_CACHE_DIR" in os.environ:
        return
    config.stash[COMPILED] = folder = tempfile.mkdtemp(prefix="phosphene-compiled-")
    os.environ["JAX_COMPILATION_CACHE_DIR"] = folder
    os.environ["JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS"] = "0.1"
    os.environ["JAX_PERSISTENT_CACHE_MIN_ENTRY_SIZE_BYTES"] = "-1"


def pytest_unconfigure(config: pytest.Config) -> None:
    folder = config.stash.get(COMPILED, None)
    if folder is not None:
        shutil.rmtree(folder, ignore_errors=True)


PACKAGES = {**BACKENDS, "nnx": "flax", "linen": "flax", "stack": "flax", "equinox": "equinox"}


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Skip on the reference backend what it says that it does not offer."""
    for item in items:
        need = left_out(item)
        if need is not None:
            item.add_marker(pytest.mark.skip(reason=reason(need)))


def _installed(name: str) -> None:
    pytest.importorskip(PACKAGES.get(name, "jax"))


@pytest.fixture(params=BACKENDS)
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


@pytest.fixture(params=["torch", pytest.param("jax", marks=pytest.mark.slow), "numpy-reference"])
def costly_backend(request: pytest.FixtureRequest) -> str:
    """Each backend, JAX among the slow tests: for what compiles many programs."""
    _installed(request.param)
    return str(request.param)


@pytest.fixture
def costly_specimen(costly_backend: str, load: Callable[..., Network]) -> Network:
    """The specimen on each backend, on JAX among the slow tests."""
    return load("specimen", costly_backend)
