"""One small model in every kind that can be wrapped, with the same weights; and what it computes, in NumPy."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from columns import BACKENDS, chosen

KINDS = ("torch", "nnx", "linen", "equinox", "function", "stack", "numpy-reference")
"""``stack`` is linen's, with residual blocks in a rematerialised scan."""

BLOCKS = 3
EPSILON = 1e-5

Floats = NDArray[np.float32]
Function = Callable[[Any], Any]


def backend_of(kind: str) -> str:
    """The backend that a kind belongs to."""
    return kind if kind in BACKENDS else "jax"


def weights() -> dict[str, Floats]:
    """Weights by name: convolutions as (H, W, I, O), matrices as (I, O)."""
    random = np.random.default_rng(7)
    shapes = {
        "conv.kernel": (3, 3, 3, 8),
        "conv.bias": (8,),
        "norm.scale": (8,),
        "norm.bias": (8,),
        "norm.mean": (8,),
        "norm.var": (8,),
        "blocks.kernel": (BLOCKS, 3, 3, 8, 8),
        "blocks.bias": (BLOCKS, 8),
        "head.kernel": (8, 5),
        "head.bias": (5,),
    }
    values = {name: (0.3 * random.standard_normal(shape)).astype(np.float32) for name, shape in shapes.items()}
    values["norm.scale"] += 1
    values["norm.var"] = np.abs(values["norm.var"]) + np.float32(0.5)
    values["blocks.kernel"] /= 4
    return values


def reference(
    kind: str, images: NDArray[Any], edits: Mapping[str, Callable[[NDArray[Any]], NDArray[Any]]] | None = None
) -> dict[str, NDArray[np.float64]]:
    """Every activation of the model of that kind, channel-last, in the order in which they are computed."""
    w = {name: value.astype(np.float64) for name, value in weights().items()}
    seen: dict[str, NDArray[np.float64]] = {}

    def take(path: str, value: NDArray[np.float64]) -> NDArray[np.float64]:
        seen[path] = (edits or {}).get(path, lambda x: x)(value)
        return seen[path]

    x = take("conv", _convolved(images, w["conv.kernel"]) + w["conv.bias"])
    x = (x - w["norm.mean"]) / np.sqrt(w["norm.var"] + EPSILON)
    x = np.maximum(take("norm", x * w["norm.scale"] + w["norm.bias"]), 0)
    for index in range(BLOCKS if kind == "stack" else 0):
        call = f"#{index}" if index else ""
        y = _convolved(np.maximum(x, 0), w["blocks.kernel"][index]) + w["blocks.bias"][index]
        x = take(f"blocks{call}", x + take(f"blocks.conv{call}", y))
    x = take("drop", x.mean((1, 2)))
    take("output", take("head", x @ w["head.kernel"] + w["head.bias"]))
    if kind == "function":
        del seen["drop"], seen["head"]
    return seen


def _convolved(x: NDArray[Any], kernel: NDArray[np.float64]) -> NDArray[np.float64]:
    padded = np.pad(x.astype(np.float64), ((0, 0), (1, 1), (1, 1), (0, 0)))
    rows, columns = x.shape[1:3]
    shifted = [
        padded[:, i : i + rows, j : j + columns] @ kernel[i, j]
        for i in range(kernel.shape[0])
        for j in range(kernel.shape[1])
    ]
    return np.sum(shifted, axis=0)


def small_network(
    kind: str,
    *,
    train: bool = False,
    dead: bool = False,
    bomb: Function = lambda x: x,
    returns: Function = lambda y: y,
) -> Any:
    """Convolution, batch normalisation, ReLU, dropout, linear; layers ``conv``, ``norm``, ``drop``, ``head``.

    Parameters
    ----------
    kind : str
        One of `KINDS`; ``"jax"`` is ``"nnx"``.
    train : bool, default False
        Whether it is in training mode, where the kind has one.
    dead : bool, default False
        Whether no unit of the convolution can fire.
    bomb : callable, optional
        Called, while the model runs, with what comes before ``drop``; the model passes on what it returns.
    returns : callable, optional
        What the model returns, from its logits, to which it adds its second argument ``extra``, where there is one.
    """
    values = weights()
    if dead:
        values["norm.bias"] = np.full(8, -100.0, np.float32)
    kind = "nnx" if kind == "jax" else kind
    makers: Mapping[str, Callable[..., Any]] = {
        "torch": _torch,
        "nnx": _nnx,
        "linen": _linen,
        "equinox": _equinox,
        "function": _function,
        "stack": functools.partial(_linen, stacked=True),
        "numpy-reference": lambda *given: _reference().small_model(*given),
    }
    made = chosen(makers, kind)(values, bomb, lambda y, extra: returns(y if extra is None else y + extra))
    if kind == "torch":
        made.train(train)
    elif kind == "nnx":
        made.train() if train else made.eval()
    elif kind == "equinox":
        import equinox

        made = (equinox.nn.inference_mode(made[0], value=not train), made[1])
    return made


def direct(kind: str, model: Any) -> Callable[[Any], Any]:
    """The model's own call as a function of images ``(N, H, W, C)`` of its framework, in evaluation mode."""

    def equinox(images: Any) -> Any:
        import jax

        return jax.vmap(lambda image: model[0](image.transpose(2, 0, 1), model[1])[0])(images)

    calls: Mapping[str, Function] = {
        "torch": lambda images: model(images.permute(0, 3, 1, 2)),
        "nnx": lambda images: model(images),
        "linen": lambda images: model[0].apply(model[1], images),
        "stack": lambda images: model[0].apply(model[1], images),
        "function": lambda images: model[0](model[1], images),
        "equinox": equinox,
        "numpy-reference": lambda images: _reference().result_of(model, images),
    }
    return calls[kind]


def add_to_head_bias(kind: str, model: Any, amount: float) -> None:
    """Change a weight of the model in place, as training would; ``"jax"`` is ``"nnx"``."""
    kind = "nnx" if kind == "jax" else kind
    if kind == "torch":
        model.head.bias.data += amount
    elif kind == "nnx":
        model.head.bias[...] = model.head.bias[...] + amount
    elif kind in ("linen", "stack"):
        model[1]["params"]["head"]["bias"] = model[1]["params"]["head"]["bias"] + amount
    elif kind == "function":
        model[1]["head"]["bias"] = model[1]["head"]["bias"] + amount
    elif kind == "numpy-reference":
        model.weights["head.bias"] += np.float32(amount)
    else:
        object.__setattr__(model[0].head, "bias", model[0].head.bias + amount)


def _torch(values: dict[str, Floats], bomb: Function, end: Callable[..., Any]) -> Any:
    import torch
    from torch import nn
    from torch.nn import functional as F

    class Model(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv = nn.Conv2d(3, 8, 3, padding=1)
            self.norm = nn.BatchNorm2d(8, eps=EPSILON)
            self.drop = nn.Dropout(0.5)
            self.head = nn.Linear(8, 5)

        def forward(self, x: Any, extra: Any = None) -> Any:
            x = F.relu(self.norm(self.conv(x)))
            return end(self.head(self.drop(bomb(x.mean((2, 3))))), extra)

    model = Model()
    names = {
        "weight": {"conv": "kernel", "norm": "scale", "head": "kernel"},
        "running_mean": "mean",
        "running_var": "var",
    }
    for name, tensor in model.state_dict().items():
        module, _, leaf = name.partition(".")
        other = names.get(leaf, leaf)
        key = f"{module}.{other[module] if isinstance(other, dict) else other}"
        if key in values:
            value = values[key]
            value = value.transpose(3, 2, 0, 1) if value.ndim == 4 else value.T
            tensor.copy_(torch.from_numpy(np.ascontiguousarray(value)))
    return model


def _nnx(values: dict[str, Floats], bomb: Function, end: Callable[..., Any]) -> Any:
    import jax.numpy as jnp
    from flax import nnx

    class Model(nnx.Module):
        def __init__(self, rngs: nnx.Rngs) -> None:
            self.conv = nnx.Conv(3, 8, (3, 3), rngs=rngs)
            self.norm = nnx.BatchNorm(8, epsilon=EPSILON, rngs=rngs)
            self.drop = nnx.Dropout(0.5, rngs=rngs)
            self.head = nnx.Linear(8, 5, rngs=rngs)

        def __call__(self, x: Any, extra: Any = None) -> Any:
            x = nnx.relu(self.norm(self.conv(x)))
            return end(self.head(self.drop(bomb(jnp.mean(x, axis=(1, 2))))), extra)

    model = Model(nnx.Rngs(0))
    for name, value in values.items():
        module, _, leaf = name.partition(".")
        if module != "blocks":
            getattr(getattr(model, module), leaf)[...] = jnp.asarray(value)
    return model


def _linen(values: dict[str, Floats], bomb: Function, end: Callable[..., Any], *, stacked: bool = False) -> Any:
    import jax.numpy as jnp
    from flax import linen

    class Block(linen.Module):
        @linen.compact
        def __call__(self, x: Any, _: None) -> Any:
            return x + linen.Conv(8, (3, 3), name="conv")(linen.relu(x)), None

    class Model(linen.Module):
        @linen.compact
        def __call__(self, x: Any, extra: Any = None, train: bool = False) -> Any:
            x = linen.Conv(8, (3, 3), name="conv")(x)
            x = linen.relu(linen.BatchNorm(use_running_average=not train, epsilon=EPSILON, name="norm")(x))
            if stacked:
                stack = linen.scan(
                    linen.remat(Block), variable_axes={"params": 0}, split_rngs={"params": True}, length=BLOCKS
                )
                x, _ = stack(name="blocks")(x, None)
            x = linen.Dropout(0.5, deterministic=not train, name="drop")(bomb(jnp.mean(x, axis=(1, 2))))
            return end(linen.Dense(5, name="head")(x), extra)

    w = {name: jnp.asarray(value) for name, value in values.items()}
    variables: dict[str, Any] = {
        "params": {},
        "batch_stats": {"norm": {name: w[f"norm.{name}"] for name in ("mean", "var")}},
    }
    for module, leaves in {"conv": ("kernel", "bias"), "norm": ("scale", "bias"), "head": ("kernel", "bias")}.items():
        variables["params"][module] = {leaf: w[f"{module}.{leaf}"] for leaf in leaves}
    if stacked:
        variables["params"]["blocks"] = {"conv": {leaf: w[f"blocks.{leaf}"] for leaf in ("kernel", "bias")}}
    return Model(), variables


def _equinox(values: dict[str, Floats], bomb: Function, end: Callable[..., Any]) -> Any:
    import equinox as eqx
    import jax
    import jax.numpy as jnp

    class Model(eqx.Module):
        conv: eqx.nn.Conv2d
        norm: eqx.nn.BatchNorm
        drop: eqx.nn.Dropout
        head: eqx.nn.Linear

        def __init__(self, key: Any) -> None:
            first, second = jax.random.split(key)
            self.conv = eqx.nn.Conv2d(3, 8, 3, padding=1, key=first)
            self.norm = eqx.nn.BatchNorm(8, axis_name="batch", eps=EPSILON, mode="ema")
            self.drop = eqx.nn.Dropout(0.5)
            self.head = eqx.nn.Linear(8, 5, key=second)

        def __call__(self, x: Any, state: Any, extra: Any = None, *, key: Any = None) -> Any:
            x, state = self.norm(self.conv(x), state)
            x = jax.nn.relu(x)
            return end(self.head(self.drop(bomb(jnp.mean(x, axis=(1, 2))), key=key)), extra), state

    model, state = eqx.nn.make_with_state(Model)(jax.random.key(0))
    w = {name: jnp.asarray(value) for name, value in values.items()}
    model = eqx.tree_at(
        lambda m: (m.conv.weight, m.conv.bias, m.norm.weight, m.norm.bias, m.head.weight, m.head.bias),
        model,
        (
            w["conv.kernel"].transpose(3, 2, 0, 1),
            w["conv.bias"][:, None, None],
            w["norm.scale"],
            w["norm.bias"],
            w["head.kernel"].T,
            w["head.bias"],
        ),
    )
    return model, state.set(model.norm.ema_state_index, (w["norm.mean"], w["norm.var"]))


def _function(values: dict[str, Floats], bomb: Function, end: Callable[..., Any]) -> Any:
    import jax
    import jax.numpy as jnp
    from jax.ad_checkpoint import checkpoint_name

    parameters: dict[str, dict[str, Any]] = {}
    for name, value in values.items():
        module, _, leaf = name.partition(".")
        if module != "blocks":
            parameters.setdefault(module, {})[leaf] = jnp.asarray(value)

    def model(p: Any, x: Any, extra: Any = None) -> Any:
        numbers = ("NHWC", "HWIO", "NHWC")
        x = jax.lax.conv_general_dilated(x, p["conv"]["kernel"], (1, 1), "SAME", dimension_numbers=numbers)
        x = checkpoint_name(x + p["conv"]["bias"], "conv")
        scale = p["norm"]["scale"] / jnp.sqrt(p["norm"]["var"] + EPSILON)
        x = checkpoint_name((x - p["norm"]["mean"]) * scale + p["norm"]["bias"], "norm")
        return end(bomb(jax.nn.relu(x).mean((1, 2))) @ p["head"]["kernel"] + p["head"]["bias"], extra)

    return model, parameters


def _reference() -> Any:
    import reference_backend.small_models

    return reference_backend.small_models


def linear_convolution(backend: str, filters: Floats) -> Any:
    """One convolution without bias or nonlinearity; `filters` is (O, H, W, I). Its layer is called ``conv``."""
    makers = {
        "torch": _torch_convolution,
        "jax": _nnx_convolution,
        "numpy-reference": lambda given: _reference().linear_model(given),
    }
    return chosen(makers, backend)(filters)


def _torch_convolution(filters: Floats) -> Any:
    import torch
    from torch import nn

    outputs, height, width, inputs = filters.shape
    model = nn.Sequential()
    convolution = nn.Conv2d(inputs, outputs, (height, width), bias=False)
    convolution.weight.data = torch.from_numpy(np.ascontiguousarray(filters.transpose(0, 3, 1, 2)))
    model.add_module("conv", convolution)
    return model.eval()


def _nnx_convolution(filters: Floats) -> Any:
    import jax.numpy as jnp
    from flax import nnx

    outputs, height, width, inputs = filters.shape

    class Model(nnx.Module):
        def __init__(self) -> None:
            self.conv = nnx.Conv(inputs, outputs, (height, width), padding="VALID", use_bias=False, rngs=nnx.Rngs(0))
            self.conv.kernel[...] = jnp.asarray(filters.transpose(1, 2, 3, 0))

        def __call__(self, x: Any) -> Any:
            return self.conv(x)

    return Model()
