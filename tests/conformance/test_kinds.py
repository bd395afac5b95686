"""One small model in every kind that can be wrapped: read, cut short, edited, differentiated, and left as it was."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import pytest

import phosphene as ph
from columns import chosen
from phosphene.backend import Network
from phosphene.errors import InvalidParameter, ModelFailed, ModelWarning, UnknownLayer
from phosphene.rules import Redirected
from small_models import BLOCKS, add_to_head_bias, backend_of, direct, reference, small_network

IMAGES = np.random.default_rng(0).random((2, 12, 16, 3)).astype(np.float32)


def wrap(kind: str, model: Any = None, **given: Any) -> Network:
    return ph.wrap(small_network(kind) if model is None else model, size=(12, 16), **given)


def native(network: Network, images: Any = IMAGES) -> Any:
    return network.backend.from_numpy(images, device=network.device, dtype=network.dtype)


def numbers(array: Any) -> Any:
    return np.asarray(array.detach() if hasattr(array, "detach") else array)


def assert_close(got: Any, wanted: Any, message: str = "") -> None:
    np.testing.assert_allclose(got, wanted, rtol=1e-4, atol=1e-5 * np.abs(wanted).max(), err_msg=message)


def test_layers_are_those_of_the_architecture_in_forward_order(kind: str) -> None:
    network, oracle = wrap(kind), reference(kind, IMAGES)
    assert {path: layer.shape for path, layer in network.layers.items()} == {
        path: value.shape[1:] for path, value in oracle.items()
    }
    assert list(network.layers) == list(oracle)
    trained = 3 * 3 * 3 * 8 + 8 + 2 * 8 + 8 * 5 + 5 + (BLOCKS * (3 * 3 * 8 * 8 + 8) if kind == "stack" else 0)
    statistics = (
        2 * 8 if kind in ("function", "numpy-reference") else 0
    )  # which these do not tell from other parameters
    assert network.layers["output"].parameters == trained + statistics
    assert network.layers["conv"].axes == ("row", "column", "channel")
    shapes = network.shapes((8, 10))
    assert (shapes["norm"], shapes["output"]) == ((8, 10, 8), (5,))


def test_activations_are_those_of_the_architecture_and_of_the_model(kind: str) -> None:
    model = small_network(kind)
    network = wrap(kind, model)
    read = ph.activations(network, IMAGES, list(network.layers))
    for path, value in reference(kind, IMAGES).items():
        assert_close(read[path], value, path)
    np.testing.assert_allclose(read["output"], numbers(direct(kind, model)(native(network))), rtol=1e-5, atol=1e-6)


def test_nothing_after_the_last_layer_is_computed(kind: str) -> None:
    armed: list[int] = []

    def bomb(x: Any) -> Any:
        if armed:
            raise RuntimeError("computed")
        return x

    def while_it_runs(x: Any) -> Any:
        import jax

        return jax.pure_callback(bomb, jax.ShapeDtypeStruct(x.shape, x.dtype), x, vmap_method="broadcast_all")

    bombs = {"torch": bomb, "jax": while_it_runs, "numpy-reference": bomb}
    network = wrap(kind, small_network(kind, bomb=chosen(bombs, backend_of(kind))))
    before = [path for path, layer in network.layers.items() if layer.spatial]
    last = before[-1]
    assert last == {"stack": f"blocks#{BLOCKS - 1}"}.get(kind, "norm")
    network.forward(native(network), ["output"])
    armed.append(1)
    assert_close(numbers(network.forward(native(network), [last])[last]), reference(kind, IMAGES)[last])
    with pytest.raises(Exception, match="computed"):
        numbers(network.forward(native(network), ["output"])["output"])


@pytest.mark.parametrize("path", ["conv", "norm", "blocks#1"])
def test_an_edit_changes_what_follows_and_nothing_else(kind: str, path: str) -> None:
    if path.startswith("blocks") and kind != "stack":
        pytest.skip("only the stack has blocks")
    network = wrap(kind)
    ramp = np.linspace(-1, 1, 2 * 12 * 16 * 8).reshape(2, 12, 16, 8)  # another one for each image
    added = native(network, ramp)
    layers = list(network.layers)
    read = network.forward(native(network), layers, edit={path: lambda xp, a: 0.5 * a + added})
    oracle = reference(kind, IMAGES, {path: lambda a: 0.5 * a + ramp})
    for layer in layers:
        assert_close(numbers(read[layer]), oracle[layer], layer)


def test_gradients_are_those_of_the_model_s_own_call(kind: str) -> None:
    model = small_network(kind)
    network = wrap(kind, model, mean=0.4, std=0.5)
    weights = network.weights()

    def value(images: Any) -> Any:
        return network.forward(images, ["output"], weights=weights)["output"][:, 1].sum(), {}

    gradient, _ = network.backend.grad(value)(native(network))
    own = direct(kind, model)
    wanted, _ = network.backend.grad(lambda images: (own((images - 0.4) / 0.5)[:, 1].sum(), {}))(native(network))
    assert_close(numbers(gradient), numbers(wanted))
    assert np.abs(numbers(gradient)).max() > 0


def test_gradients_at_a_layer_are_those_of_the_architecture(kind: str) -> None:
    network = wrap(kind)
    weights = network.weights()
    path = "blocks#1" if kind == "stack" else "norm"
    gradient, _ = network.backend.grad(
        lambda images: ((network.forward(images, [path], weights=weights)[path] ** 2).sum(), {})
    )(native(network))
    direction = np.random.default_rng(1).standard_normal(IMAGES.shape)
    up, down = ((reference(kind, IMAGES + step * direction)[path] ** 2).sum() for step in (1e-6, -1e-6))
    assert (numbers(gradient) * direction).sum() == pytest.approx((up - down) / 2e-6, rel=1e-3)


def test_render_and_invert_raise_their_objectives(kind: str) -> None:
    network = wrap(kind)
    plain = {"steps": 24, "parameterization": ph.parameterizations.pixel(), "transforms": [], "progress": False}
    renders = ph.render(network, [ph.logit(1), ph.logit(2)], **plain)
    assert (renders.values > renders.history[0]).all()
    inverted = ph.invert(network, IMAGES, "norm", **plain)
    assert (inverted.scores["cosine"] > 0.8).all()


def _state(kind: str, model: Any) -> list[Any]:
    """All that a user could notice: values, and the mode that the model is in."""
    if kind == "numpy-reference":
        return [model.function, *((name, value.tobytes()) for name, value in model.weights.items())]
    if kind == "torch":
        return [(name, value.numpy().tobytes()) for name, value in model.state_dict().items()] + [
            module.training for module in model.modules()
        ]
    import jax

    if kind == "nnx":
        from flax import nnx

        parts = [part for _, part in nnx.iter_graph(model) if isinstance(part, nnx.Module)]
        flags = [(type(part), getattr(part, "deterministic", None)) for part in parts]
        return [*flags, *(np.asarray(leaf).tobytes() for leaf in jax.tree.leaves(nnx.state(model, nnx.Param)))]
    leaves, structure = jax.tree.flatten(model)
    return [structure, *(np.asarray(leaf).tobytes() if hasattr(leaf, "shape") else leaf for leaf in leaves)]


def test_the_model_is_left_as_it_was_also_after_an_exception(kind: str) -> None:
    model = small_network(kind, train=True)
    before = _state(kind, model)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        network = wrap(kind, model)
    has_mode = kind in ("torch", "nnx", "equinox")
    assert [warning.category for warning in caught] == ([ModelWarning] if has_mode else [])
    ph.activations(network, IMAGES, ["conv", "output"])
    network.with_weights(lambda path, array: array * 0).forward(native(network), ["output"])
    with pytest.raises(ZeroDivisionError):
        network.forward(native(network), ["output"], edit={"conv": lambda xp, a: a / (1 // 0)})
    with pytest.raises(UnknownLayer):
        network.forward(native(network), ["nowhere"])
    assert _state(kind, model) == before
    # Read in evaluation mode all the while.
    assert_close(ph.activations(network, IMAGES, "output")["output"], reference(kind, IMAGES)["output"])


def test_weights_that_change_after_wrapping_are_seen(kind: str) -> None:
    model = small_network(kind)
    network = wrap(kind, model)
    before, mark = ph.activations(network, IMAGES, "output")["output"], network.fingerprint()
    assert wrap(kind).fingerprint() == mark
    add_to_head_bias(kind, model, 3.0)
    np.testing.assert_allclose(ph.activations(network, IMAGES, "output")["output"], before + 3, rtol=1e-5)
    assert network.fingerprint() != mark


def test_a_network_with_other_weights_is_another(kind: str) -> None:
    network = wrap(kind)
    assert any(path.startswith("head") or ".head." in path for path in network.weight_shapes())
    silent = network.with_weights(lambda path, array: array * 0 if "head" in path else array)
    assert not ph.activations(silent, IMAGES, "output")["output"].any()
    assert silent.fingerprint() != network.fingerprint()
    assert_close(ph.activations(silent, IMAGES, "norm")["norm"], reference(kind, IMAGES)["norm"])
    assert ph.activations(network, IMAGES, "output")["output"].any()


@pytest.mark.needs("interface")
@pytest.mark.parametrize(
    ("returns", "output"),
    [
        (lambda y: {"boxes": y * 0, "scores": y}, "scores"),
        (lambda y: (y * 0, y), 1),
        (lambda y: ({"boxes": y * 0}, {"deep": y}), lambda value: value[1]["deep"]),
    ],
)
def test_the_output_is_what_its_user_says(kind: str, returns: Any, output: Any) -> None:
    model = small_network(kind, returns=returns)
    with pytest.warns(ModelWarning, match=r"output=.*"):
        assert "output" not in wrap(kind, model).layers
    network = wrap(kind, model, output=output)
    assert_close(ph.activations(network, IMAGES, "output")["output"], reference(kind, IMAGES)["output"])


@pytest.mark.needs("interface")
def test_an_output_that_does_not_exist_names_those_that_do(kind: str) -> None:
    model = small_network(kind, returns=lambda y: {"boxes": y * 0, "scores": y})
    with pytest.raises(InvalidParameter, match=r"output: .*boxes.*scores"):
        wrap(kind, model, output="score")


@pytest.mark.needs("interface")
def test_further_inputs_are_constants_for_each_image_or_made_from_the_images(kind: str) -> None:
    extra = np.arange(5.0, dtype=np.float32)
    wanted = reference(kind, IMAGES)["output"]
    network = wrap(kind, inputs={"extra": extra})
    assert_close(ph.activations(network, IMAGES, "output")["output"], wanted + extra)
    assert_close(ph.activations(network, IMAGES[:1], "output")["output"], (wanted + extra)[:1])
    if kind == "equinox":
        return  # its state is an argument too, which a function of the images would have to make
    network = wrap(kind, inputs=lambda x: (x * 0, 2.0))
    assert_close(ph.activations(network, IMAGES, "output")["output"], reference(kind, IMAGES * 0)["output"] + 2)


def test_a_size_that_does_not_fit_is_an_error_of_the_model(kind: str) -> None:
    with pytest.raises(ModelFailed, match="Check size"):
        wrap(kind, channels=4)


def test_the_redirected_rule_reaches_every_kind(kind: str) -> None:
    network = wrap(kind, small_network(kind, dead=True))
    weights = network.weights()

    def forward(images: Any) -> Any:
        return network.forward(images, ["output"], weights=weights)["output"]

    assert network.backend.nonlinearities(forward, native(network)) == {"relu": 1 + (BLOCKS if kind == "stack" else 0)}
    dead, _ = network.backend.grad(lambda images: (forward(images)[:, 1].sum(), {}))(native(network))
    assert not numbers(dead).any()
    ruled = network.backend.with_rule(Redirected(), forward)
    tree = {"images": native(network), "gate": native(network, np.asarray([1.0, 0.0]))}
    woken, _ = network.backend.grad(lambda tree: (ruled(tree["images"], tree["gate"])[:, 1].sum(), {}))(tree)
    assert numbers(woken["images"])[0].any()
    assert not numbers(woken["images"])[1].any()
    assert numbers(woken["gate"])[0] >= 1
    assert numbers(woken["gate"])[1] == 0
