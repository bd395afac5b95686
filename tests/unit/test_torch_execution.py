"""Settings with which a model is trained or deployed, and which must not keep it from being read and differentiated."""

from __future__ import annotations

import copy
import threading
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch")

import torch.utils.checkpoint as checkpointing  # noqa: E402
from torch import nn  # noqa: E402
from torch.overrides import TorchFunctionMode  # noqa: E402
from torch.utils.checkpoint import checkpoint, checkpoint_sequential  # noqa: E402

import phosphene as ph  # noqa: E402
from phosphene.errors import ModelWarning  # noqa: E402
from phosphene_torch import backend  # noqa: E402
from phosphene_torch.execution import WithoutCudnnRecurrence  # noqa: E402
from pretend_operators import declare  # noqa: E402
from torch_architectures import ARCHITECTURES, SIZE, Recurrent, Residual, Transformer, UNet, built, plainly  # noqa: E402
from torch_models import images, wrap  # noqa: E402

X = images(2, SIZE)
Kinds = pytest.mark.parametrize("kind", ARCHITECTURES)


def reads(network: Any, edit: Any = None) -> dict[str, Any]:
    """All layers."""
    return network.forward(X, list(network.layers), edit=edit)


def gradient(network: Any, path: str, edit: Any = None) -> Any:
    return backend.grad(lambda x: ((network.forward(x, [path], edit=edit)[path] ** 2).sum(), ()))(X)[0]


def assert_reads_the_same(network: Any, plain: Any, inner: str) -> None:
    """The same layers, values, gradients and edits; a gradient of an inner layer is not zero."""
    assert list(network.layers) == list(plain.layers)
    assert [layer.shape for layer in network.layers.values()] == [layer.shape for layer in plain.layers.values()]
    wanted = reads(plain)
    for path, value in reads(network).items():
        assert torch.equal(value, wanted[path]), path
    edit = {inner: lambda xp, a: a * 2}
    for path in ("output", inner):
        for given in (None, edit):
            found = gradient(network, path, given)
            assert float(found.abs().sum()) > 0
            assert torch.equal(found, gradient(plain, path, given))


@Kinds
@pytest.mark.parametrize("reentrant", [False, True])
def test_checkpoints_in_evaluation_mode(kind: Any, reentrant: bool) -> None:
    def call(block: Any, *inputs: Any) -> Any:
        return checkpoint(block, *inputs, use_reentrant=reentrant)

    globals_before = dict(vars(checkpointing))
    network, plain = wrap(built(kind, call), SIZE), wrap(built(kind), SIZE)
    assert_reads_the_same(network, plain, kind.inner)
    if kind is not Transformer and kind is not Recurrent:  # the fused attention and the LSTM have no forward mode
        changes = [backend.jvp(lambda x: net.forward(x, ["output"])["output"])(X, X)[1] for net in (network, plain)]  # noqa: B023
        assert torch.equal(*changes)
    assert vars(checkpointing) == globals_before


def test_a_checkpointed_model_in_training_mode_is_read_in_evaluation_mode() -> None:
    def call(block: Any, *inputs: Any) -> Any:
        return checkpoint(block, *inputs, use_reentrant=False)

    with pytest.warns(ModelWarning, match="training mode"):
        network = wrap(built(Residual, call).train(), SIZE)
    assert_reads_the_same(network, wrap(built(Residual), SIZE), Residual.inner)
    assert all(module.training for module in network.model.modules())


def test_a_sequence_of_checkpoints_and_nested_ones() -> None:
    torch.manual_seed(0)
    body = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.Conv2d(4, 4, 3), nn.Tanh())

    class Whole(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.body = body

        def forward(self, x: Any) -> Any:
            def nested(y: Any) -> Any:
                return checkpoint_sequential(self.body, 2, y, use_reentrant=False)

            return checkpoint(nested, x, use_reentrant=True)

    network = wrap(Whole().eval(), SIZE)
    assert "body.2" in network.layers
    plain = wrap(nn.Sequential(body).eval(), SIZE)
    assert torch.equal(gradient(network, "body.2"), gradient(plain, "0.2"))


def test_checkpoints_elsewhere_are_as_they_were() -> None:
    """A thread that trains while another one reads, and a model's own checkpoints outside of phosphene."""
    calls: list[int] = []
    reading, trained = threading.Event(), threading.Event()

    def counted(x: Any) -> Any:
        calls.append(1)
        return x.sin().exp()

    def train() -> None:
        reading.wait(20)
        for reentrant in (False, True):
            x = torch.ones(2, requires_grad=True)
            checkpoint(counted, x, use_reentrant=reentrant).sum().backward()
        trained.set()

    class Waiting(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.a = nn.Conv2d(3, 4, 1)
            self.waits = False

        def forward(self, x: Any) -> Any:
            if self.waits:
                reading.set()
                trained.wait(20)
            return checkpoint(self.a, x, use_reentrant=True)

    model = Waiting().eval()
    network = wrap(model, SIZE)
    model.waits = True
    thread = threading.Thread(target=train)
    thread.start()
    assert float(gradient(network, "a").abs().sum()) > 0
    thread.join(20)
    assert len(calls) == 4  # each once forward, and once again backward


@Kinds
def test_gradients_of_checkpointed_models_in_public_calls(kind: Any) -> None:
    def call(block: Any, *inputs: Any) -> Any:
        return checkpoint(block, *inputs, use_reentrant=True)

    network, plain = ph.wrap(built(kind, call), size=SIZE), ph.wrap(built(kind), size=SIZE)
    target = ph.channel("output", 1)
    found, wanted = (ph.attribute(net, X.numpy(), target, method="gradient") for net in (network, plain))
    np.testing.assert_array_equal(found.maps, wanted.maps)
    made = [ph.render(net, ph.channel(kind.inner, 0), steps=3, progress=False).images for net in (network, plain)]
    np.testing.assert_array_equal(*made)


def test_gradient_checkpointing_of_hugging_face() -> None:
    declare()
    transformers = pytest.importorskip("transformers")
    torch.manual_seed(0)
    config = transformers.ViTConfig(
        hidden_size=8, num_hidden_layers=2, num_attention_heads=2, intermediate_size=16, image_size=16, patch_size=4
    )
    plain = transformers.ViTForImageClassification(config).eval()
    model = copy.deepcopy(plain)
    model.gradient_checkpointing_enable()
    with pytest.warns(ModelWarning, match="training mode"):
        network = wrap(model.train(), SIZE)
    reference = wrap(plain, SIZE)
    assert torch.equal(gradient(network, "output"), gradient(reference, "output"))
    assert model.training
    assert model.is_gradient_checkpointing


def test_checkpoints_of_timm_in_evaluation_mode() -> None:
    declare()
    pytest.importorskip("timm")
    import timm

    torch.manual_seed(0)
    plain = timm.create_model("resnet10t", num_classes=4).eval()
    model = copy.deepcopy(plain)
    model.set_grad_checkpointing(True)
    network, reference = wrap(model, (32, 32)), wrap(plain, (32, 32))
    # timm checkpoints the blocks of a stage one by one, and does not call the stage itself.
    assert set(network.layers) >= {"layer2.0", "layer2.0.conv2", "fc"}
    assert torch.equal(gradient(network, "layer2.0.conv2"), gradient(reference, "layer2.0.conv2"))
    assert torch.equal(gradient(network, "output"), gradient(reference, "output"))


@Kinds
def test_inference_mode_around_calls(kind: Any) -> None:
    plain = ph.wrap(built(kind), size=SIZE)
    target = ph.channel("output", 0)
    pictures = X.numpy()

    def everything(network: Any) -> list[Any]:
        return [
            ph.attribute(network, pictures, target, method="gradient").maps,
            ph.attribute(network, pictures, target, method="integrated_gradients").maps,
            ph.render(network, target, steps=3, progress=False).images,
            ph.activations(network, pictures, [kind.inner])[kind.inner],
            ph.units(network, list(pictures), kind.inner, progress=False).mean,
        ]

    wanted = everything(plain)
    with torch.inference_mode():
        network = ph.wrap(built(kind), size=SIZE)
        found = everything(network)
    again = everything(network)
    for values in (found, again):
        for value, other in zip(values, wanted, strict=True):
            np.testing.assert_array_equal(value, other)
    assert not torch.is_inference_mode_enabled()


class Tabled(nn.Module):
    """A model that fills a table, a list and a buffer when it first runs, as rotary embeddings do."""

    inner = "block.conv2"

    def __init__(self, call: Any = plainly) -> None:
        super().__init__()
        self.net = built(Residual)
        self.block = self.net.layers[0]
        self.table: Any = None
        self.tables: list[Any] = []

    def forward(self, x: Any) -> Any:
        if self.table is None:
            self.table = torch.linspace(0.5, 1.5, x.shape[-1])
            self.tables.append(self.table[:, None].exp())
        return self.net(x * self.table * self.tables[0])


@pytest.mark.parametrize("kind", [*ARCHITECTURES, Tabled])
@pytest.mark.parametrize("dtype", [None, "float64"])
def test_a_model_made_in_inference_mode(kind: Any, dtype: Any) -> None:
    with torch.inference_mode():
        model = built(kind)
        model(torch.zeros(1, 3, *SIZE))
    other = built(kind)
    other(torch.zeros(1, 3, *SIZE))
    network, plain = wrap(model, SIZE, dtype=dtype), wrap(other, SIZE, dtype=dtype)
    assert list(network.layers) == list(plain.layers)
    x = X.to(torch.float64 if dtype else torch.float32)
    for path in ("output", list(network.layers)[2]):
        results = [
            backend.grad(lambda x: ((net.forward(x, [path])[path] ** 2).sum(), ()))(x)[0]  # noqa: B023
            for net in (network, plain)
        ]
        assert float(results[0].abs().sum()) > 0
        torch.testing.assert_close(*results, rtol=1e-5, atol=1e-7)
    assert network.fingerprint() == plain.fingerprint()
    assert all(parameter.is_inference() for parameter in model.parameters())


@Kinds
@pytest.mark.parametrize("how", ["in place", "after wrapping", "whole", "submodules"])
def test_compiled_models_are_read_without_the_compiler(kind: Any, how: str) -> None:
    torch._dynamo.reset()
    compiled: list[int] = []

    def compiler(graph: Any, inputs: Any) -> Any:
        compiled.append(1)
        return graph.forward

    model = built(kind)
    child = next(name for name, module in model.named_children() if not isinstance(module, nn.ModuleList))
    network = wrap(model, SIZE) if how == "after wrapping" else None
    if how in ("in place", "after wrapping"):
        model.compile(backend=compiler)
    elif how == "submodules":
        for name, block in list(model.named_children()):
            if isinstance(block, nn.ModuleList):
                for index, item in enumerate(block):
                    block[index] = torch.compile(item, backend=compiler)
            else:
                setattr(model, name, torch.compile(block, backend=compiler))
    given = torch.compile(model, backend=compiler) if how == "whole" else model
    inside = {name: type(module) for name, module in model.named_modules()}
    network = network or wrap(given, SIZE)
    plain = wrap(built(kind), SIZE)
    assert_reads_the_same(network, plain, kind.inner)
    assert network.fingerprint() == plain.fingerprint()
    assert list(network.weight_shapes()) == list(plain.weight_shapes())
    doubled = [net.with_weights(lambda path, array: array * 2) for net in (network, plain)]
    assert torch.equal(gradient(doubled[0], "output"), gradient(doubled[1], "output"))
    assert not compiled
    # Left as it was, and still compiled.
    assert {name: type(module) for name, module in model.named_modules()} == inside
    assert child in dict(model.named_children())
    if kind is not Recurrent or how == "submodules":  # Dynamo traces no model with an LSTM
        given(X.permute(0, 3, 1, 2))
        assert compiled


def test_a_compiled_function_inside_a_model() -> None:
    compiled: list[int] = []

    def compiler(graph: Any, inputs: Any) -> Any:
        compiled.append(1)
        return graph.forward

    scaled = torch.compile(lambda conv, x: conv(x).relu(), backend=compiler)

    class Model(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv = nn.Conv2d(3, 4, 3)

        def forward(self, x: Any) -> Any:
            return scaled(self.conv, x).mean((2, 3))

    network = wrap(Model().eval(), SIZE)
    assert float(gradient(network, "conv").abs().sum()) > 0
    assert not compiled


def test_the_stance_of_the_user_is_restored_also_with_threads() -> None:
    import torch._dynamo.eval_frame as frames

    before = frames._stance
    network = wrap(built(Residual), SIZE)
    threads = [threading.Thread(target=lambda: gradient(network, "output")) for _ in range(4)]
    others = [threading.Thread(target=lambda: wrap(built(UNet), SIZE)) for _ in range(3)]
    for thread in (*threads, *others):
        thread.start()
    for thread in (*threads, *others):
        thread.join(60)
    assert frames._stance == before


@Kinds
def test_a_default_device_that_is_not_the_models(kind: Any) -> None:
    """Here "meta", on which nothing can be computed; elsewhere "cuda", for a model that stays on the CPU."""
    target, pictures = ph.channel("output", 0), X.numpy()

    def everything(model: Any) -> list[Any]:
        network = ph.wrap(model, size=SIZE)
        layer = next(path for path, layer in network.layers.items() if layer.spatial)
        cam = [] if kind is Recurrent else ph.attribute(network, pictures, target, method="gradcam", layer=layer).maps
        return [
            cam,
            ph.attribute(network, pictures, target, method="gradient").maps,
            ph.attribute(network, pictures, target, method="integrated_gradients").maps,
            ph.render(network, target, steps=3, progress=False).images,
            ph.render(network, ph.neuron(layer, 0), steps=3, optimizer=torch.optim.Adam, progress=False).images,
            ph.activations(network, pictures, [kind.inner])[kind.inner],
            ph.units(network, list(pictures), kind.inner, progress=False).mean,
        ]

    wanted, model = everything(built(kind)), built(kind)
    torch.set_default_device("meta")
    try:
        found = everything(model)
    finally:
        torch.set_default_device(None)
    for value, other in zip(found, wanted, strict=True):
        np.testing.assert_array_equal(value, other)


@Kinds
def test_deterministic_algorithms(kind: Any) -> None:
    torch.use_deterministic_algorithms(True)
    try:
        network = ph.wrap(built(kind), size=SIZE)
        ph.render(network, ph.channel("output", 0), steps=3, progress=False)
        ph.attribute(network, X.numpy(), ph.channel("output", 0), method="gradient")
    finally:
        torch.use_deterministic_algorithms(False)


@pytest.mark.parametrize("cell", [nn.LSTM, nn.GRU, nn.RNN])
def test_recurrence_does_without_cudnn(cell: Any) -> None:
    seen: list[tuple[bool, bool]] = []

    class Seeing(TorchFunctionMode):
        def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
            recurrent = getattr(func, "__name__", "") in ("lstm", "gru", "rnn_tanh")
            if recurrent or func is nn.functional.linear:
                seen.append((recurrent, torch.backends.cudnn.enabled))
            return func(*args, **(kwargs or {}))

    module, head = cell(3, 4), nn.Linear(4, 2)
    with Seeing(), WithoutCudnnRecurrence():
        head(module(torch.rand(5, 2, 3))[0])
    assert seen == [(True, False), (False, True)]
    assert torch.backends.cudnn.enabled
