"""PyTorch's transformations: gradients, loops, rules, resampling and optimizers, each against an oracle."""

from __future__ import annotations

import functools
import math
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from torch import nn  # noqa: E402
from torch.nn import functional as F  # noqa: E402

from phosphene import warps  # noqa: E402
from phosphene.backend import Backend, InputSpec  # noqa: E402
from phosphene.errors import InvalidParameter  # noqa: E402
from phosphene.findings import RECTIFIERS  # noqa: E402
from phosphene.rules import Deconvolution, Guided, Redirected  # noqa: E402
from phosphene_torch import backend  # noqa: E402


def test_it_is_a_backend_that_owns_modules() -> None:
    assert isinstance(backend, Backend)
    assert (backend.name, backend.compiled) == ("torch", False)
    assert backend.owns(nn.Linear(1, 1))
    assert not backend.owns(lambda x: x)
    assert backend.xp.__name__ == "array_api_compat.torch"


@pytest.mark.parametrize("dtype", ["float32", "float64", "bfloat16"])
def test_arrays_go_over_and_back_as_copies(dtype: str) -> None:
    array = np.array([[0.5, 1.25], [2.0, -1.0]])
    tensor = backend.from_numpy(array, device="cpu", dtype=dtype)
    assert str(tensor.dtype) == f"torch.{dtype}"
    back = backend.to_numpy(tensor)
    tensor.zero_()
    np.testing.assert_array_equal(back, [[0.5, 1.25], [2.0, -1.0]])
    np.testing.assert_array_equal(array, [[0.5, 1.25], [2.0, -1.0]])
    for kept in (np.arange(3), np.array([True, False]), np.array(4, np.int32)):
        assert backend.to_numpy(backend.from_numpy(kept, device="cpu", dtype=dtype)).dtype == kept.dtype


def test_grad_of_a_tree() -> None:
    tree = {"a": torch.tensor([1.0, 2.0]), "b": (torch.tensor(3.0), None), "c": [torch.ones(2, 2)]}

    def f(given: Any) -> Any:
        return (given["a"] ** 2).sum() * given["b"][0], {"seen": given["a"] * 2}

    gradient, aux = backend.grad(f)(tree)
    torch.testing.assert_close(gradient["a"], torch.tensor([6.0, 12.0]))
    torch.testing.assert_close(gradient["b"][0], torch.tensor(5.0))
    assert gradient["b"][1] is None
    assert isinstance(gradient["c"], list)
    assert not gradient["c"][0].any()
    assert not aux["seen"].requires_grad
    assert all(leaf.grad is None and not leaf.requires_grad for leaf in (tree["a"], tree["b"][0], tree["c"][0]))


@pytest.mark.parametrize("context", [torch.no_grad, torch.inference_mode])
def test_grad_works_where_gradients_are_off(context: Any) -> None:
    with context():
        gradient, _ = backend.grad(lambda x: ((x**2).sum(), ()))(torch.ones(2))
    torch.testing.assert_close(gradient.clone(), torch.full((2,), 2.0))


def test_grad_of_what_does_not_depend_is_zero() -> None:
    gradient, _ = backend.grad(lambda x: (torch.tensor(1.0), ()))(torch.ones(2))
    assert not gradient.any()


def test_jvp_and_run() -> None:
    value, change = backend.jvp(lambda x: {"square": x**2})(torch.tensor([3.0]), torch.tensor([2.0]))
    assert (float(value["square"]), float(change["square"])) == (9.0, 12.0)
    assert not backend.run(lambda x, y: x * y, torch.ones(2, requires_grad=True), torch.ones(2)).requires_grad


def test_loop_stacks_what_each_step_returns() -> None:
    def step(constants: Any, carry: Any, x: Any) -> Any:
        carry = {"sum": carry["sum"] + constants * x["a"]}
        return carry, (carry["sum"], x["b"])

    xs = {"a": torch.arange(4.0), "b": torch.ones(4, 2)}
    carry, (sums, rows) = backend.loop(step, torch.tensor(2.0), {"sum": torch.tensor(1.0)}, xs)
    assert sums.tolist() == [1.0, 3.0, 7.0, 13.0]
    assert float(carry["sum"]) == 13.0
    assert rows.shape == (4, 2)
    with pytest.raises(InvalidParameter, match="xs"):
        backend.loop(step, torch.tensor(2.0), {"sum": torch.tensor(1.0)}, {"a": torch.ones(2), "b": torch.ones(3)})


def _matrices(kind: str, count: int) -> Any:
    random = np.random.default_rng(0)
    matrices = np.zeros((count, 2, 3))
    matrices[:, 0, 0] = matrices[:, 1, 1] = 1
    if kind == "shift":
        matrices[..., 2] = random.integers(-9, 10, (count, 2))
        matrices[0, :, 2] = 40  # beyond the image
        return matrices
    matrices[..., 2] = random.uniform(-5, 5, (count, 2))
    matrices[:, 0, 0], matrices[:, 1, 1] = random.uniform(0.8, 1.3, (2, count))
    if kind == "general":
        matrices[:, 0, 1], matrices[:, 1, 0] = random.uniform(-0.3, 0.3, (2, count))
    return warps.exact(matrices)


@pytest.mark.parametrize("kind", warps.KINDS)
@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize(("size", "out"), [((20, 17), (20, 17)), ((1, 5), (4, 3)), ((33, 30), (12, 40))])
def test_warp_is_that_of_core(kind: str, dtype: str, size: Any, out: Any) -> None:
    wanted_type = getattr(torch, dtype)
    images = torch.rand(4, *size, 3, generator=torch.Generator().manual_seed(0), dtype=wanted_type)
    matrices = torch.tensor(_matrices(kind, 4), dtype=wanted_type)
    cotangent = torch.rand(4, *out, 3, generator=torch.Generator().manual_seed(1), dtype=wanted_type)
    pictures, gradients = [], []
    for warp in (functools.partial(warps.warp, backend.xp), backend.warp):
        x = images.clone().requires_grad_()
        picture = warp(x, matrices, out, fill=0.5, kind=kind)
        pictures.append(picture.detach())
        gradients.append(torch.autograd.grad((picture * cotangent).sum(), x)[0])
    tolerance = 1e-6 if dtype == "float32" else 1e-14
    torch.testing.assert_close(pictures[1], pictures[0], atol=tolerance, rtol=0)
    torch.testing.assert_close(gradients[1], gradients[0], atol=4 * tolerance, rtol=4 * tolerance)


def test_warp_is_traceable() -> None:
    images, matrices = torch.rand(2, 6, 6, 3), torch.tensor(_matrices("shift", 2), dtype=torch.float32)
    f = lambda x: backend.warp(x, matrices, (6, 6), fill=0.5, kind="shift")  # noqa: E731
    _, change = backend.jvp(f)(images, torch.ones_like(images))
    torch.testing.assert_close(change, f(torch.ones_like(images)) - f(torch.zeros_like(images)))


RELUS = {
    "F.relu": F.relu,
    "F.relu in place": lambda x: F.relu(x * 1, inplace=True),
    "F.relu_": lambda x: F.relu_(x * 1),
    "torch.relu": torch.relu,
    "torch.relu_": lambda x: torch.relu_(x * 1),
    "Tensor.relu": lambda x: x.relu(),
    "Tensor.relu_": lambda x: (x * 1).relu_(),
    "Tensor.relu_, result unused": lambda x: _unused(x * 1),
    "nn.ReLU": nn.ReLU(),
    "nn.ReLU in place": lambda x: nn.ReLU(inplace=True)(x * 1),
}


def _unused(x: Any) -> Any:
    x.relu_()
    return x


def _ruled(rule: Any, f: Any, x: Any, g: Any, gate: Any) -> Any:
    x, gate = x.clone().requires_grad_(), gate.clone().requires_grad_()
    y = backend.with_rule(rule, f)(x, gate)
    return y.detach(), *torch.autograd.grad(y, (x, gate), g)


@pytest.mark.parametrize("spelling", RELUS)
@pytest.mark.parametrize("shape", [(3, 4, 5, 2), (3, 4, 5), (3, 4)])
def test_rules_by_hand(spelling: str, shape: tuple[int, ...]) -> None:
    random = torch.Generator().manual_seed(0)
    x, g = torch.randn(shape, generator=random), torch.randn(shape, generator=random)
    gate = torch.ones(3)
    y, guided, used = _ruled(Guided(), RELUS[spelling], x, g, gate)
    assert torch.equal(y, x.clamp_min(0))
    torch.testing.assert_close(guided, g * (x > 0) * (g > 0))
    assert used.tolist() == [1, 1, 1]
    _, free, _ = _ruled(Deconvolution(), RELUS[spelling], x, g, gate)
    torch.testing.assert_close(free, g * (g > 0))


def test_redirected_acts_on_dead_rows_whose_gate_is_open() -> None:
    # Rows 0 and 1 are dead, the gate of row 1 is shut, row 2 is alive. The softmax is over positions, not channels.
    x = torch.full((3, 2, 4, 4), -1.0)
    x[:2, 1, 2, 3] = -0.1
    x[2, 0, 0, 0] = 1.0
    g = torch.zeros_like(x)
    g[:, 1] = 1.0
    g[2, 0] = 1.0
    _, gradient, used = _ruled(Redirected(), F.relu, x, g, torch.tensor([1.0, 0.0, 1.0]))
    assert used.tolist() == [1, 0, 0]
    assert not gradient[0, 0].any()
    assert int(gradient[0, 1].flatten().argmax()) == 2 * 4 + 3
    torch.testing.assert_close(gradient[0, 1].sum(), torch.tensor(16.0))
    assert not gradient[1].any()
    torch.testing.assert_close(gradient[2], g[2] * (x[2] > 0))


def test_the_gradient_of_the_gate_counts_layers() -> None:
    f = lambda x: F.relu(F.relu(F.relu(x)))  # noqa: E731
    _, _, used = _ruled(Guided(), f, torch.randn(3, 4), torch.ones(3, 4), torch.ones(3))
    assert used.tolist() == [3, 3, 3]


def test_an_in_place_unit_still_changes_what_goes_round_it() -> None:
    def shortcut(x: Any) -> Any:
        x = x * 1
        return F.relu(x, inplace=True) + x

    x = torch.randn(3, 4)
    y, gradient, _ = _ruled(Guided(), shortcut, x, torch.ones(3, 4), torch.ones(3))
    assert torch.equal(y, shortcut(x))
    torch.testing.assert_close(gradient, 2.0 * (x > 0))


def test_a_rule_reaches_a_network_and_ends_with_it() -> None:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(inplace=True), nn.Conv2d(4, 4, 3), nn.ReLU(), nn.Flatten()).eval()
    network = backend.wrap(model, input=InputSpec(size=(8, 8)))
    f = lambda x: network.forward(x, ["3"])["3"]  # noqa: E731
    x = torch.rand(2, 9, 9, 3)  # a size not seen before: the probing pass is no part of it
    assert backend.nonlinearities(f, x) == {"relu": 2}
    y, _, used = _ruled(Guided(), f, x, torch.ones(2, 5, 5, 4), torch.ones(2))
    torch.testing.assert_close(y, f(x))
    assert used.tolist() == [2, 2]
    inner = torch.relu(nn.functional.conv2d(x.permute(0, 3, 1, 2), model[0].weight, model[0].bias))
    leaf = x.clone().requires_grad_()
    pre = model[0](leaf.permute(0, 3, 1, 2))
    out = model[2](inner)
    g = (out > 0).float()
    back = nn.functional.conv_transpose2d(g, model[2].weight)
    by_hand = torch.autograd.grad(pre, leaf, back * (pre > 0) * (back > 0))[0]
    torch.testing.assert_close(_ruled(Guided(), f, x, torch.ones(2, 5, 5, 4), torch.ones(2))[1], by_hand)


def test_tensors_without_the_rows_of_the_gate_are_left_alone() -> None:
    scale = torch.tensor([1.0, -1.0, 2.0, -2.0])
    ruled = backend.with_rule(Deconvolution(), lambda x: x * F.relu(scale))
    (gradient, used), _ = backend.grad(lambda tree: (ruled(*tree).sum(), ()))((torch.ones(3, 4), torch.ones(3)))
    assert gradient[0].tolist() == [1, 0, 2, 0]
    assert used.tolist() == [0, 0, 0]


CLIPPED: dict[str, tuple[Any, float]] = {
    "F.relu6": (F.relu6, 6.0),
    "nn.ReLU6": (nn.ReLU6(), 6.0),
    "nn.ReLU6 in place": (lambda x: nn.ReLU6(inplace=True)(x * 1), 6.0),
    "nn.Hardtanh": (nn.Hardtanh(0, 3), 3.0),
    "F.hardtanh_": (lambda x: F.hardtanh_(x * 1, 0.0, 3.0), 3.0),
    "torch.clamp": (lambda x: torch.clamp(x, 0, 3), 3.0),
    "torch.clamp of tensors": (lambda x: torch.clamp(x, torch.zeros(()), torch.tensor(3.0)), 3.0),
    "Tensor.clip": (lambda x: x.clip(min=0, max=3), 3.0),
    "Tensor.clamp_": (lambda x: (x * 1).clamp_(0, 3), 3.0),
    "clamp, no upper end": (lambda x: x.clamp(min=0), math.inf),
    "clamp_min": (lambda x: x.clamp_min(0), math.inf),
    "torch.clamp_min_": (lambda x: torch.clamp_min_(x * 1, 0), math.inf),
    "maximum": (lambda x: torch.maximum(x, torch.zeros(())), math.inf),
    "max": (lambda x: torch.max(torch.zeros_like(x), x), math.inf),
    "threshold": (nn.Threshold(0, 0), math.inf),
    "relu, then the upper end": (lambda x: F.relu(x).clamp(max=3), 3.0),
    "the upper end, then relu": (lambda x: F.relu(x.clamp(max=3)), 3.0),
    "maximum and minimum": (lambda x: torch.minimum(torch.maximum(x, torch.zeros(())), torch.tensor(3.0)), 3.0),
    "exported relu": (lambda x: torch.ops.aten.relu.default(x), math.inf),
    "exported hardtanh": (lambda x: torch.ops.aten.hardtanh.default(x, 0, 3), 3.0),
}


@pytest.mark.parametrize("spelling", CLIPPED)
def test_clipped_units_have_a_gate_at_both_ends(spelling: str) -> None:
    f, ceiling = CLIPPED[spelling]
    random = torch.Generator().manual_seed(0)
    x, g = (torch.randn((3, 5, 4, 4), generator=random) * scale for scale in (5, 1))
    x.view(-1)[:3], x.view(-1)[3:6] = 0.0, min(ceiling, 3.0)
    gate = torch.ones(3)
    leaf = x.clone().requires_grad_()
    values = f(leaf)
    (plain,) = torch.autograd.grad(values, leaf, g)
    y, guided, used = _ruled(Guided(), f, x, g, gate)
    assert torch.equal(y, values)
    assert torch.equal(guided, g * ((x > 0) & (x < ceiling) & (g > 0)))
    assert used.tolist() == [1, 1, 1]
    assert torch.equal(_ruled(Deconvolution(), f, x, g, gate)[1], g.clamp_min(0))
    # All rows are alive, so that the rule that wakes dead ones keeps the framework's own gradient, at the kinks too.
    assert torch.equal(_ruled(Redirected(), f, x, g, gate)[1], plain)
    assert sum(backend.nonlinearities(f, x).values()) == 1
    assert set(backend.nonlinearities(f, x)) <= RECTIFIERS


@pytest.mark.parametrize(
    ("f", "counts"),
    [
        (lambda x: x * F.relu6(x + 3) / 6, {"hardsigmoid": 1}),
        (lambda x: nn.ReLU6(inplace=True)(x + 3.0) / 6, {"hardsigmoid": 1}),
        (F.hardswish, {"hardswish": 1}),
        (F.hardsigmoid, {"hardsigmoid": 1}),
        (F.hardtanh, {"hardtanh": 1}),
        (lambda x: x.clamp(0.5, 1), {}),
        (lambda x: x.clamp(-1, 0), {}),
    ],
)
def test_what_is_no_rectifier_keeps_its_gradient_and_its_name(f: Any, counts: dict[str, int]) -> None:
    x, g = torch.randn(3, 4) * 3, torch.randn(3, 4)
    leaf = x.clone().requires_grad_()
    ruled = backend.with_rule(Deconvolution(), f)
    (gradient, used), _ = backend.grad(lambda tree: ((ruled(*tree) * g).sum(), ()))((x, torch.ones(3)))
    assert torch.equal(gradient, torch.autograd.grad(f(leaf), leaf, g)[0])
    assert not used.any()
    assert backend.nonlinearities(f, x) == counts


def test_a_rule_of_four_arguments_has_the_own_gradient_at_a_ceiling() -> None:
    def own(xp: Any, x: Any, g: Any, gate: Any) -> tuple[Any, Any]:
        return xp.where(x > 0, 2 * g, 3 * g), xp.ones_like(gate)

    x, g = torch.tensor([[-1.0, 2.0, 7.0]]), torch.ones(1, 3)
    assert _ruled(own, F.relu6, x, g, torch.ones(1))[1].tolist() == [[3.0, 2.0, 0.0]]
    assert _ruled(own, F.relu, x, g, torch.ones(1))[1].tolist() == [[3.0, 2.0, 2.0]]


def _windows(x: Any) -> Any:
    return x.view(len(x), 2, 4, 2, 4, 3).permute(0, 1, 3, 2, 4, 5).reshape(-1, 16, 3)


ARRANGED: dict[str, tuple[Any, bool]] = {
    "windows in the rows": (_windows, True),
    "positions in the rows": (lambda x: x.reshape(-1, 3), True),
    "batch second": (lambda x: x.flatten(1, 2).transpose(0, 1), True),
    "two views, one after the other": (lambda x: torch.cat([x, x.flip(2)]), False),
}


@pytest.mark.filterwarnings("ignore::phosphene.errors.CoverageWarning")
@pytest.mark.parametrize("arranged", ARRANGED)
def test_dead_rows_are_woken_however_the_images_are_arranged(arranged: str) -> None:
    arrange, found = ARRANGED[arranged]
    weight = torch.randn(3, 4, generator=torch.Generator().manual_seed(0))
    f = lambda x: F.relu6(arrange(x) @ weight - 50)  # noqa: E731
    x = torch.rand((3, 8, 8, 3), generator=torch.Generator().manual_seed(1))
    g = torch.ones_like(f(x))
    _, gradient, used = _ruled(Redirected(), f, x, g, torch.tensor([1.0, 0.0, 1.0]))
    assert used.tolist() == ([1, 0, 1] if found else [0, 0, 0])
    assert (gradient.abs().amax((1, 2, 3)) > 0).tolist() == ([True, False, True] if found else [False] * 3)
    # Rules that look at each value alone do not need to know.
    assert _ruled(Guided(), f, x, g, torch.ones(3))[2].tolist() == [1, 1, 1]


CHANNELS: dict[str, tuple[Any, int]] = {
    "convolution": (lambda x: F.conv2d(x, torch.ones(5, 6, 1, 1)), 1),
    "channels last": (lambda x: x.permute(0, 2, 3, 1) @ torch.ones(6, 5), 3),
    "layer normalisation": (lambda x: F.layer_norm(x.transpose(1, -1), (6,)), 3),
    "one axis of positions": (lambda x: F.conv1d(x.flatten(2), torch.ones(5, 6, 1)), 1),
    "tokens": (lambda x: F.conv2d(x, torch.ones(5, 6, 1, 1)).flatten(2).transpose(1, 2), 2),
    "three axes of positions": (lambda x: F.conv3d(x[:, :, None], torch.ones(5, 6, 1, 1, 1)), 1),
}


@pytest.mark.parametrize("made", CHANNELS)
def test_the_position_nearest_to_firing_is_found_whatever_the_channel_axis(made: str) -> None:
    f, axis = CHANNELS[made]
    x = torch.randn((2, 6, 7, 4), generator=torch.Generator().manual_seed(0))
    seen: list[Any] = []

    def rule(xp: Any, x: Any, g: Any, gate: Any) -> tuple[Any, Any]:
        seen.append(tuple(x.shape))
        return g, gate

    made_shape = list(f(x).shape)
    y = F.relu(f(x.clone().requires_grad_()))
    _ruled(rule, lambda x: F.relu(f(x)), x, torch.ones_like(y), torch.ones(2))
    made_shape.append(made_shape.pop(axis))
    assert seen == [tuple(made_shape)]


def test_only_what_is_between_image_and_target_is_counted() -> None:
    table = nn.Parameter(torch.randn(4))

    def f(x: Any) -> Any:
        bias = F.relu(table)
        F.gelu(x)  # on the way to nothing
        return F.relu6(x + bias) + F.silu(x.detach())

    assert backend.nonlinearities(f, torch.rand(2, 4)) == {"relu6": 1}


def test_nonlinearities_are_counted_once_each() -> None:
    def f(x: Any) -> Any:
        x = nn.Sigmoid()(nn.SiLU()(nn.GELU()(F.relu_(x * 1))))
        x = F.softmax(torch.tanh(x), -1) + x.tanh() + F.hardswish(F.relu6(F.leaky_relu(F.elu(x))))
        return x.clamp(min=0) + x.clamp(0, 1)

    assert backend.nonlinearities(f, torch.rand(2, 3)) == {
        "relu": 2,
        "gelu": 1,
        "silu": 1,
        "sigmoid": 1,
        "softmax": 1,
        "tanh": 2,
        "hardswish": 1,
        "relu6": 1,
        "leaky_relu": 1,
        "elu": 1,
        "clipped relu": 1,
    }


@pytest.mark.parametrize(
    "factory",
    [
        functools.partial(torch.optim.Adam, lr=0.05),
        functools.partial(torch.optim.SGD, lr=0.1, momentum=0.9),
        functools.partial(torch.optim.Adam, lr=0.05, maximize=True),
        torch.optim.AdamW,
    ],
)
def test_a_foreign_optimizer_does_what_it_does_alone(factory: Any) -> None:
    optimizer = backend.optimizer(factory)
    assert hash(optimizer) == hash(backend.optimizer(factory))
    assert optimizer == backend.optimizer(factory)
    start = torch.rand(2, 3, generator=torch.Generator().manual_seed(0))
    target = torch.tensor([0.3, 0.6, 0.9])
    slope = lambda p: target - p  # noqa: E731
    ours, state = start.clone(), optimizer.init(backend.xp, start)
    alone = [start[0].clone().requires_grad_(), start[1].clone().requires_grad_()]
    theirs = [factory([row]) for row in alone]
    for clock in range(12):
        if clock == 5:  # the second row begins anew
            state = optimizer.restart(backend.xp, state, ours, [False, True])
            theirs[1] = factory([alone[1]])
        ours, state = optimizer.update(backend.xp, slope(ours), state, ours, torch.full((2,), clock))
        for row, descent in zip(alone, theirs, strict=True):
            row.grad = slope(row.detach()) * (1 if descent.param_groups[0]["maximize"] else -1)
            descent.step()
        torch.testing.assert_close(ours, torch.stack([row.detach() for row in alone]), rtol=0, atol=0)
    assert optimizer.take(backend.xp, state, [1])[0] is state[1]
    assert not ours.requires_grad


@pytest.mark.parametrize(
    "foreign", ["adam", lambda p: None, torch.optim.LBFGS, functools.partial(torch.optim.SGD, lr=-1)]
)
def test_what_is_no_optimizer_is_refused(foreign: Any) -> None:
    with pytest.raises(InvalidParameter, match="optimizer: expected"):
        backend.optimizer(foreign)
