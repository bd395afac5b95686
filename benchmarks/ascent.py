"""What a step of the engine costs over the bare forward and backward pass to the target, in one process.

``python benchmarks/ascent.py [--backend torch jax] [--rounds 9] [--only layer2] [--out benchmarks/results/ascent.json]``

The bare pass of PyTorch is a hand-written truncated loop over modules on a channels_last image with `torch.autograd.grad`; that
of JAX a jitted `value_and_grad` of a hand-written truncated function; both at the size that the engine's network sees. Three
recipes: pixels without transforms; the default (Fourier image, jitter, scale and rotation in one warp, total variation, Adam);
and lucid's. Bare pass and engine take turns, and each ratio is of neighbours.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from common import RESULTS, SIZE, row, said, turns, write
from resnet50 import LAYERS, resnet50
from vit_b import vit_b

import phosphene as ph
from phosphene.ascent import Job, Plan, Program, Target, View
from phosphene.ascent.driver import _arguments, _draws, _enter, _fresh
from phosphene.ascent.pipeline import draw, pipeline, seen_size
from phosphene.ascent.step import Step, constants_of
from phosphene.backend import Network, native
from phosphene.draws import generator
from phosphene.errors import ModelFailed
from phosphene.regularizers.penalties import Penalty
from phosphene.regularizers.projections import Projection
from phosphene.rendering.presets import preset_named

Work = Callable[[], Any]


@dataclass(frozen=True)
class Case:
    """One measurement: `layer` of a ResNet-50, or of a ViT-B where it is a block."""

    backend: str
    layer: str
    batch: int
    recipe: str
    target: float

    @property
    def said(self) -> str:
        model = "ViT-B/16" if self.layer.startswith("blocks") else "ResNet-50"
        recipe = {"plain": "pixels, no transforms"}.get(self.recipe, f"{self.recipe} recipe")
        return f"{self.backend}, {model} {self.layer}, batch {self.batch}, {recipe}"


def cases() -> list[Case]:
    """All measurements."""
    targets = {"plain": 1.03, "default": 1.05, "lucid": 1.12}
    found = [
        Case(backend, layer, 8, recipe, target)
        for backend in ("torch", "jax")
        for layer in ("layer2", "layer4", "blocks.5")
        for recipe, target in targets.items()
    ]
    return found + [
        Case(backend, layer, 1, "default", 1.10) for backend in ("torch", "jax") for layer in ("layer2", "layer4")
    ]


def bare_torch(model: Any, layer: str, batch: int, size: int) -> Work:
    """Forward to the end of `layer` and backward to the image."""
    import torch

    image = torch.rand(batch, size, size, 3).permute(0, 3, 1, 2)

    def to_layer(x: Any) -> Any:
        if layer.startswith("blocks"):
            y = model.embed(x)
            for block in model.blocks[: int(layer.rpartition(".")[2]) + 1]:
                y = block(y)
            return y[:, :, 0].mean(1)
        y = model.maxpool(model.relu(model.bn1(model.conv1(x))))
        for name in LAYERS[: LAYERS.index(layer) + 1]:
            y = getattr(model, name)(y)
        return y[:, 0].mean((1, 2))

    def step() -> None:
        x = image.detach().requires_grad_()
        torch.autograd.grad(to_layer(x).sum(), x)

    return step


def bare_jax(model: Any, layer: str, batch: int, size: int) -> Work:
    """Forward to the end of `layer` and backward to the image, jitted."""
    import jax
    import jax.numpy as jnp
    from flax import nnx

    graph, state = nnx.split(model)
    image = jnp.asarray(np.random.default_rng(0).random((batch, size, size, 3)), jnp.float32)

    def to_layer(copy: Any, x: Any) -> Any:
        if layer.startswith("blocks"):
            y = copy.embed(x)
            for block in list(copy.blocks)[: int(layer.rpartition(".")[2]) + 1]:
                y = block(y)
            return jnp.mean(y[..., 0], axis=1)
        y = nnx.max_pool(nnx.relu(copy.bn1(copy.conv1(x))), (3, 3), (2, 2), padding=((1, 1), (1, 1)))
        for name in LAYERS[: LAYERS.index(layer) + 1]:
            y = getattr(copy, name)(y)
        return jnp.mean(y[..., 0], axis=(1, 2))

    gradient = jax.jit(
        lambda state, image: jax.value_and_grad(lambda x: to_layer(nnx.merge(graph, state), x).sum())(image)
    )
    return lambda: jax.block_until_ready(gradient(state, image))


def engine(network: Network, case: Case, chunk: int) -> tuple[Work, int]:
    """`chunk` steps of the recipe through the backend's loop, and the pixels a side that the network sees."""
    canvas = (SIZE, SIZE)
    recipe = preset_named(case.recipe, canvas, canvas)
    seen = seen_size(recipe.transforms, canvas)
    try:
        network.shapes(seen)
    except ModelFailed:
        seen = canvas  # a network of one fixed size sees the picture's middle
    bound = [ph.channel(case.layer, index).bind(network, network.shapes(canvas)) for index in range(case.batch)]
    projections = tuple(item for item in recipe.regularizers if isinstance(item, Projection))
    program = Program(
        network=network,
        form=bound[0].form,
        view=View(bound[0].form, pipeline(recipe.transforms, canvas, seen)),
        parameterization=recipe.parameterization,
        penalties=tuple(item for item in recipe.regularizers if isinstance(item, Penalty)),
        projections=(*projections, *recipe.parameterization.bounds()),
        optimizer=recipe.optimizer,
        canvas=(*canvas, 3),
    )

    def draws(index: int) -> Callable[[], Any]:
        return lambda: draw(program.view.pipeline, 0, str(index), chunk)

    initial = [recipe.parameterization.initial(generator(0, str(index)), (*canvas, 3)) for index in range(case.batch)]
    targets = tuple(
        Target(item.label, index, initial[index], item.arguments, item.arguments, draws(index))
        for index, item in enumerate(bound)
    )
    job, plan = Job(program, targets, capacity=case.batch), Plan(steps=chunk)
    slots = [_enter(index, job) for index in range(case.batch)]
    fixed = native(network, constants_of(program))
    constants = {**fixed, "weights": network.weights(), "arguments": _arguments(job, slots)}
    xs = native(network, {"draws": _draws(slots, chunk), "index": np.arange(chunk, dtype=np.int32)})
    state = {"carry": _fresh(job, slots, plan)}

    def steps() -> None:
        with network.scope():
            state["carry"], seen = network.backend.loop(Step(program, warming=False), constants, state["carry"], xs)
            network.backend.to_numpy(seen["value"])  # as the engine does once a chunk

    return steps, seen[0]


def compare(case: Case, rounds: int, chunk: int) -> dict[str, Any]:
    """One row of the result."""
    model = (vit_b if case.layer.startswith("blocks") else resnet50)(case.backend)
    whole, size = engine(ph.wrap(model, size=SIZE), case, chunk)
    one = (bare_torch if case.backend == "torch" else bare_jax)(model, case.layer, case.batch, size)

    def bare() -> None:
        for _ in range(chunk):
            one()

    contestants = {"bare": bare, "engine": whole}
    for work in contestants.values():
        work()
    return row(case.said, case.target, turns(contestants, rounds), "engine", "bare")


def main() -> None:
    """Compare as the arguments say, print, and write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--backend", nargs="+", default=["torch", "jax"])
    parser.add_argument("--only", default="", help="cases whose description contains this; nothing is written then")
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--chunk", type=int, default=2, help="steps a round")
    parser.add_argument("--threads", type=int, help="threads of PyTorch (default: its own choice)")
    parser.add_argument("--out", type=Path, default=RESULTS / "ascent.json")
    given = parser.parse_args()
    threads = None
    if "torch" in given.backend:
        import torch

        torch.set_num_threads(given.threads or torch.get_num_threads())
        threads = torch.get_num_threads()
    rows = []
    for case in cases():
        if case.backend not in given.backend or given.only not in case.said:
            continue
        rows.append(compare(case, given.rounds, given.chunk))
        print(said(rows[-1]), flush=True)
        if not given.only:
            write(
                given.out,
                "ascent",
                "What does a step cost over the bare truncated forward and backward pass?",
                rows,
                threads=threads,
                packages=given.backend,
                notes=[f"Times are of {given.chunk} steps."],
            )


if __name__ == "__main__":
    main()
