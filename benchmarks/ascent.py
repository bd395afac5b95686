"""What a step of the engine costs over the bare forward and backward pass to the target, in one process.

``python benchmarks/ascent.py [--backend torch jax] [--batches 1 8] [--layers layer2 layer4] [--repeats 7]``

The bare pass of PyTorch is a hand-written truncated loop over modules on a channels_last image with `torch.autograd.grad`; that
of JAX a jitted `value_and_grad` of a hand-written truncated function. The engine's step is the default recipe: Fourier image,
jitter, scale and rotation in one warp, total variation, Adam. Bare and engine alternate; the ratio of medians is printed.
"""

from __future__ import annotations

import argparse
import json
import platform
import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from resnet50 import LAYERS, resnet50

import phosphene as ph
from phosphene.ascent.driver import _arguments, _draws, _enter, _fresh
from phosphene.ascent.pipeline import draw, pipeline
from phosphene.ascent.program import Ascent, Plan, Target, native
from phosphene.ascent.step import Step, constants_of
from phosphene.backend import Network
from phosphene.draws import generator
from phosphene.presets import preset_named
from phosphene.rules import Redirected

SIZE = 224


def bare_torch(model: Any, layer: str, batch: int) -> Callable[[], None]:
    """Forward to the end of `layer` and backward to the image."""
    import torch

    stages = LAYERS[: LAYERS.index(layer) + 1]
    image = torch.rand(batch, SIZE, SIZE, 3).permute(0, 3, 1, 2)

    def step() -> None:
        x = image.detach().requires_grad_()
        y = model.maxpool(model.relu(model.bn1(model.conv1(x))))
        for name in stages:
            y = getattr(model, name)(y)
        torch.autograd.grad(y[:, 0].mean((1, 2)).sum(), x)

    return step


def bare_jax(model: Any, layer: str, batch: int) -> Callable[[], None]:
    """Forward to the end of `layer` and backward to the image, jitted."""
    import jax
    import jax.numpy as jnp
    from flax import nnx

    stages = LAYERS[: LAYERS.index(layer) + 1]
    graph, state = nnx.split(model)
    image = jnp.asarray(np.random.default_rng(0).random((batch, SIZE, SIZE, 3)), jnp.float32)

    @jax.jit
    def gradient(state: Any, image: Any) -> Any:
        def value(x: Any) -> Any:
            copy = nnx.merge(graph, state)
            y = nnx.max_pool(nnx.relu(copy.bn1(copy.conv1(x))), (3, 3), (2, 2), padding=((1, 1), (1, 1)))
            for name in stages:
                y = getattr(copy, name)(y)
            return jnp.sum(jnp.mean(y[..., 0], axis=(1, 2)))

        return jax.value_and_grad(value)(image)

    return lambda: jax.block_until_ready(gradient(state, image))


def engine(network: Network, layer: str, batch: int, chunk: int, warming: bool) -> Callable[[], None]:
    """`chunk` steps of the default recipe through the backend's loop."""
    canvas = (SIZE, SIZE)
    recipe = preset_named("default", canvas)
    bound = [ph.channel(layer, index).bind(network, network.shapes(canvas)) for index in range(batch)]
    ascent = Ascent(
        network, bound[0].form, recipe.parameterization, pipeline(recipe.transforms, canvas, canvas),
        recipe.regularizers, (), recipe.optimizer, (*canvas, 3), Redirected() if warming else None,
    )  # fmt: skip
    targets = [
        Target(
            recipe.parameterization.initial(generator(0, str(index)), (*canvas, 3)), item.arguments,
            lambda index=index: draw(ascent.pipeline, 0, str(index), chunk),
        )
        for index, item in enumerate(bound)
    ]  # fmt: skip
    plan = Plan(steps=chunk, slots=batch)
    slots = [_enter(index, targets) for index in range(batch)]
    fixed = native(network, {**constants_of(ascent, None), "weights": None})
    constants = {**fixed, "weights": network.weights(), "arguments": _arguments(ascent, targets, slots)}
    xs = native(network, {"draws": _draws(slots, chunk), "index": np.arange(chunk, dtype=np.int32)})
    state = {"carry": _fresh(ascent, targets, slots, plan)}

    def steps() -> None:
        with network.scope():
            state["carry"], seen = network.backend.loop(Step(ascent, warming), constants, state["carry"], xs)
            network.backend.to_numpy(seen["value"]) if hasattr(seen["value"], "detach") else None

    return steps


def seconds(work: Callable[[], None]) -> float:
    """Wall time of one call."""
    started = time.perf_counter()
    work()
    return time.perf_counter() - started


def compare(backend: str, layer: str, batch: int, repeats: int, chunk: int) -> dict[str, Any]:
    """Median seconds of a bare and an engine step, alternating, and their ratio."""
    model = resnet50(backend)
    network = ph.wrap(model, size=SIZE)
    bare = (bare_torch if backend == "torch" else bare_jax)(model, layer, batch)
    whole = engine(network, layer, batch, chunk, warming=False)
    bare(), whole()
    times: dict[str, list[float]] = {"bare": [], "engine": []}
    for _ in range(repeats):
        times["bare"].append(seconds(lambda: [bare() for _ in range(chunk)]) / chunk)
        times["engine"].append(seconds(whole) / chunk)
    medians = {name: statistics.median(values) for name, values in times.items()}
    ratios = sorted(a / b for a, b in zip(times["engine"], times["bare"], strict=True))
    return {
        "backend": backend,
        "layer": layer,
        "batch": batch,
        "bare_seconds": medians["bare"],
        "engine_seconds": medians["engine"],
        "ratio": statistics.median(ratios),
        "spread": [ratios[0], ratios[-1]],
    }


def main() -> None:
    """Compare as the arguments say, and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--backend", nargs="+", default=["torch", "jax"])
    parser.add_argument("--layers", nargs="+", default=["layer2", "layer4"])
    parser.add_argument("--batches", nargs="+", type=int, default=[1, 8])
    parser.add_argument("--repeats", type=int, default=7)
    parser.add_argument("--chunk", type=int, default=2)
    parser.add_argument("--out", type=Path)
    given = parser.parse_args()
    rows = []
    for backend in given.backend:
        for layer in given.layers:
            for batch in given.batches:
                row = compare(backend, layer, batch, given.repeats, given.chunk)
                rows.append(row)
                print(
                    f"{backend:6s} {layer} batch {batch}: bare {1e3 * row['bare_seconds']:.0f} ms, engine "
                    f"{1e3 * row['engine_seconds']:.0f} ms, ratio {row['ratio']:.3f} "
                    f"({row['spread'][0]:.3f} to {row['spread'][1]:.3f})",
                    flush=True,
                )
    if given.out:
        given.out.write_text(
            json.dumps({"machine": platform.machine(), "python": platform.python_version(), "rows": rows}, indent=1)
        )


if __name__ == "__main__":
    main()
