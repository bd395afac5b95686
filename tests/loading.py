"""What tests of loaders share: a machine without a network, and the random states that a loader leaves alone."""

from __future__ import annotations

import importlib.util
import random
import urllib.error
from pathlib import Path
from typing import Any

import numpy as np
import pytest


def go_offline(monkeypatch: pytest.MonkeyPatch, folder: Path) -> list[str]:
    """No network, and empty caches in `folder`; returns the list of the URLs that will have been asked for."""
    asked: list[str] = []

    def refuse(request: Any, timeout: float) -> None:
        asked.append(request.full_url)
        raise urllib.error.URLError("no route to host")

    monkeypatch.setattr("urllib.request.urlopen", refuse)
    monkeypatch.setenv("TORCH_HOME", str(folder / "torch"))
    if importlib.util.find_spec("huggingface_hub") is not None:
        monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(folder / "hub"))
        monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", False)
    return asked


def in_hub_cache(folder: Path, repository: str) -> Path:
    """A folder in which files lie as the Hugging Face hub's client keeps those of a repository."""
    place = folder / "hub" / f"models--{repository.replace('/', '--')}"
    (place / "refs").mkdir(parents=True)
    (place / "refs" / "main").write_text("0" * 40)
    (place / "snapshots" / ("0" * 40)).mkdir(parents=True)
    return place / "snapshots" / ("0" * 40)


def random_states() -> list[bytes]:
    """The random states of the process, to be compared."""
    import torch

    old = repr(np.random.get_state())  # noqa: NPY002  (the user's, which is not ours)
    return [torch.get_rng_state().numpy().tobytes(), old.encode(), repr(random.getstate()).encode()]
