"""A user's model is the same before and after every public call, also when the user's own function raises in the middle."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import pytest

import phosphene as ph
from columns import chosen
from phosphene.errors import InvalidObjective
from small_models import add_to_head_bias, small_network

IMAGES = np.random.default_rng(0).random((2, 16, 16, 3)).astype(np.float32)


def _state(backend: str, model: Any) -> list[Any]:
    """Everything about a model that a library could disturb."""
    return chosen({"torch": _state_of_module, "jax": _state_of_nnx, "numpy-reference": _state_of_generator}, backend)(
        model
    )


def _state_of_module(model: Any) -> list[Any]:
    import torch

    found: list[Any] = [torch.get_rng_state().tolist()]
    for name, module in model.named_modules():
        hooks = [len(getattr(module, kind)) for kind in ("_forward_hooks", "_forward_pre_hooks", "_backward_hooks")]
        found.append((name, module.training, type(module).__name__, hooks))
    for name, tensor in (*model.named_parameters(), *model.named_buffers()):
        values = tensor.detach().numpy().tobytes()
        found.append((name, values, tensor.requires_grad, tensor.grad is None, tensor.stride(), tensor.data_ptr()))
    return found


def _state_of_generator(model: Any) -> list[Any]:
    return [model.function, *((path, value.tobytes(), id(value)) for path, value in model.weights.items())]


def _state_of_nnx(model: Any) -> list[Any]:
    import jax
    from flax import nnx

    found: list[Any] = [
        np.asarray(leaf).tobytes() for leaf in jax.tree.leaves(nnx.state(model, nnx.Param, nnx.BatchStat))
    ]
    for path, part in nnx.iter_graph(model):
        if isinstance(part, nnx.Module):
            flags = [getattr(part, name, None) for name in ("use_running_average", "deterministic")]
            found.append((path, type(part), flags, sorted(vars(part))))
    found.append([int(stream.count[...]) for _, stream in nnx.iter_graph(model) if isinstance(stream, nnx.RngStream)])
    return found


@pytest.mark.parametrize("train", [False, True])
def test_nothing_is_left_behind(backend: str, train: bool) -> None:
    model = small_network(backend, train=train)
    before = _state(backend, model)
    calls = []

    def explodes(xp: Any, activations: Any) -> Any:
        calls.append(1)
        if len(calls) > 1:
            raise RuntimeError("in the middle")
        return xp.mean(activations["conv"], axis=(1, 2, 3))

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ph.PhospheneWarning)
        network = ph.wrap(model, size=16)
    ph.activations(network, IMAGES, ["conv", "norm", "output"])
    ph.render(network, [ph.channel("norm", 1), ph.logit(2)], steps=4, progress=False)
    ph.invert(network, IMAGES, "norm", steps=3, progress=False)
    network.fingerprint()
    network.with_weights(lambda path, array: array * 0)
    with pytest.raises(InvalidObjective, match=r"RuntimeError.*in the middle"):
        ph.render(network, explodes, steps=4, progress=False)
    assert _state(backend, model) == before


def test_weights_that_change_after_wrapping_are_read_as_they_are_now(backend: str) -> None:
    model = small_network(backend)
    network = ph.wrap(model, size=16)
    first, print_before = ph.activations(network, IMAGES, "output")["output"], network.fingerprint()
    one_step = ph.render(network, ph.logit(1), steps=2, progress=False).values
    add_to_head_bias(backend, model, 3.0)
    second = ph.activations(network, IMAGES, "output")["output"]
    np.testing.assert_allclose(second, first + 3.0, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(
        ph.render(network, ph.logit(1), steps=2, progress=False).values, one_step + 3.0, rtol=1e-4
    )
    assert network.fingerprint() != print_before


def test_edited_weights_are_anothers(backend: str) -> None:
    network = ph.wrap(small_network(backend), size=16)
    silenced = network.with_weights(lambda path, array: array * 0 if path.startswith("head") else array)
    assert np.abs(ph.activations(silenced, IMAGES, "output")["output"]).max() == 0
    assert np.abs(ph.activations(network, IMAGES, "output")["output"]).max() > 0
