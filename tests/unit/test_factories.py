"""Networks that a function of the user's own returns."""

from __future__ import annotations

import sys
import textwrap
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

import phosphene as ph
from phosphene import errors

Write = Callable[[str, str], None]


@pytest.fixture
def factories(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Write]:
    """Writes a module into the current directory."""
    monkeypatch.chdir(tmp_path)
    written = []

    def write(name: str, text: str) -> None:
        (tmp_path / f"{name}.py").write_text(textwrap.dedent(text))
        written.append(name)

    yield write
    for name in written:
        sys.modules.pop(name, None)


TORCH_FACTORY = """
    import torch
    def build(channels=4, fail=False):
        if fail:
            raise ZeroDivisionError("in the factory")
        return torch.nn.Sequential(torch.nn.Conv2d(3, channels, 3), torch.nn.ReLU()).eval()
    def wrapped():
        import phosphene as ph
        return ph.wrap(build(), size=8)
    def nothing():
        build()
    model = build()
"""

JAX_FACTORY = """
    import jax.numpy as jnp
    from flax import nnx
    class Model(nnx.Module):
        def __init__(self, rngs):
            self.conv = nnx.Conv(3, 4, (3, 3), rngs=rngs)
            self.head = nnx.Linear(4, 2, rngs=rngs)
        def __call__(self, x):
            return self.head(jnp.mean(nnx.relu(self.conv(x)), axis=(1, 2)))
    def build():
        return Model(nnx.Rngs(0))
    def function():
        return lambda images: jnp.tanh(images.mean((1, 2)))
"""


def test_a_torch_factory_is_found_in_the_current_directory(factories: Write) -> None:
    pytest.importorskip("torch")
    factories("my_torch_models", TORCH_FACTORY)
    path = list(sys.path)
    network = ph.load("my_torch_models:build", size=16, arguments={"channels": 5})
    assert network.layers["0"].shape == (14, 14, 5) and sys.path == path
    assert ph.load("my_torch_models:model", size=16).layers["0"].shape == (14, 14, 4)
    assert ph.load("my_torch_models:wrapped").input.size == (8, 8)


@pytest.mark.filterwarnings("ignore:.*no inner layer")
def test_a_jax_factory_is_found_as_well(factories: Write) -> None:
    pytest.importorskip("flax")
    factories("my_jax_models", JAX_FACTORY)
    assert ph.load("my_jax_models:build", size=8).backend.name == "jax"
    assert ph.load("my_jax_models:function", size=8, backend="jax").layers["output"].shape == (3,)


def test_what_is_wrong_with_a_factory_is_said(factories: Write) -> None:
    pytest.importorskip("torch")
    factories("my_torch_models", TORCH_FACTORY)
    factories("broken_models", "import a_package_that_is_not_there")
    with pytest.raises(
        errors.InvalidParameter, match=r"size: .*does not state its input size: pass it, for example size=224"
    ):
        ph.load("my_torch_models:build")
    with pytest.raises(
        errors.ModelFailed, match=r"my_torch_models:build raised ZeroDivisionError: in the factory"
    ) as raised:
        ph.load("my_torch_models:build", size=8, arguments={"fail": True})
    assert isinstance(raised.value.__cause__, ZeroDivisionError)
    with pytest.raises(
        errors.ModelFailed, match=r"unexpected keyword argument 'chanels'.*called with `arguments` \(chanels\)"
    ):
        ph.load("my_torch_models:build", size=8, arguments={"chanels": 2})
    with pytest.raises(errors.ModelFailed, match=r"returned None"):
        ph.load("my_torch_models:nothing", size=8)
    with pytest.raises(errors.InvalidParameter, match=r"The module has no 'biuld'. Did you mean 'build'"):
        ph.load("my_torch_models:biuld", size=8)
    with pytest.raises(errors.InvalidParameter, match=r"There is no module 'no_such_module'"):
        ph.load("no_such_module:build", size=8)
    with pytest.raises(errors.ModelFailed, match=r"importing broken_models raised ModuleNotFoundError"):
        ph.load("broken_models:build", size=8)
    with pytest.raises(
        errors.InvalidParameter,
        match=r"size: expected nothing, since my_torch_models:wrapped .*, got 8. It is stated in the",
    ):
        ph.load("my_torch_models:wrapped", size=8)
    with pytest.raises(errors.MixedBackends, match=r"Leave `backend` out"):
        ph.load("my_torch_models:build", size=8, backend="jax")
