"""What a picture costs beside Lucent 0.1.8, on the same ResNet-50, with as many gradient evaluations of images of the same size.

``python benchmarks/lucent.py [--cases channel small many neuron] [--rounds 7] [--steps 128]``

Random weights, batch normalisations calibrated on noise, memory as PyTorch makes it. Lucent runs with its own defaults, phosphene
with its preset "lucent", which is the same recipe, and with its default. Whole calls are timed, their setup included; the
contestants take turns within one process, and a ratio is to Lucent's call of the same round. What Lucent leaves on the model after
a call (its hooks, gradients of the weights) is taken away before the next, outside the measured time.

Lucent is put into a folder of its own at the first run. Two shims let it run on today's packages: torchvision's missing operators
are declared where they do not fit the installed PyTorch, and IPython, which it only shows pictures with, has a stand-in where it
is not installed.
"""

from __future__ import annotations

import argparse
import importlib
import importlib.util
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

from common import RESULTS, SIZE, Work, add_peers, calibrated, row, said, spent, turns, write

import phosphene as ph

PACKAGES = ("torch-lucent==0.1.8", "kornia==0.4.1", "decorator", "tqdm")
PRESETS = ("lucent", "default")
QUESTION = "What does a picture cost, as a share of the time that Lucent 0.1.8 takes for as many steps?"
NOTES = (
    "A ratio is phosphene's time over Lucent's in the same round: one call that makes the pictures, with its setup.",
    "Lucent runs its own defaults in float32, phosphene the same recipe (preset lucent) and its default.",
    "Lucent enlarges every image below 224 px to that size, and runs the whole network whatever the layer.",
)
CASES = ("channel", "small", "many", "neuron")
INDEX, MANY = 5, 32


def lucent() -> Any:
    """The package's ``optvis``, though this very file has its name."""
    add_peers("lucent", PACKAGES)
    if importlib.util.find_spec("IPython") is None:
        sys.modules["IPython"], sys.modules["IPython.display"] = ModuleType("IPython"), ModuleType("IPython.display")
        sys.modules["IPython"].display = sys.modules["IPython.display"]  # type: ignore[attr-defined]
    here, path = Path(__file__).parent.resolve(), sys.path[:]
    sys.path[:] = [folder for folder in path if Path(folder or ".").resolve() != here]
    try:
        for name in ("objectives", "param", "render"):
            importlib.import_module(f"lucent.optvis.{name}")
    finally:
        sys.path[:] = path
    return sys.modules["lucent.optvis"]


class Match:
    """The two libraries on one model."""

    def __init__(self, model: Any) -> None:
        self.model, self.lucent = model, lucent()
        self.network = ph.wrap(model, size=SIZE, mean=(0.485, 0.456, 0.406), std=(0.229, 0.224, 0.225))
        self.narrow = ph.wrap(model, size=SIZE, mean=(0.485, 0.456, 0.406), std=(0.229, 0.224, 0.225), dtype="bfloat16")

    def theirs(self, objective: Any, size: int, steps: int, batch: int = 1) -> Work:
        """A call of Lucent's."""

        def call() -> Any:
            return self.lucent.render.render_vis(
                self.model,
                objective,
                lambda: self.lucent.param.image(size, batch=batch),
                thresholds=(steps,),
                progress=False,
                show_image=False,
            )

        return call

    def ours(self, network: Any, objectives: Any, size: int, steps: int) -> dict[str, Work]:
        """A call of ours by preset, as "ours, PRESET"."""

        def call(preset: str) -> Work:
            return lambda: ph.render(network, objectives, size=size, steps=steps, preset=preset, progress=False)

        return {f"ours, {preset}": call(preset) for preset in PRESETS}

    def bare(self, layer: str, size: int, steps: int) -> Work:
        """As many passes, forward to the end of a stage and back to a random image, and nothing else: what no tool goes below."""
        import torch

        stages = [self.model.conv1, self.model.bn1, self.model.relu, self.model.maxpool]
        stages += [getattr(self.model, f"layer{index}") for index in range(1, int(layer[-1]) + 1)]
        first = next(self.model.parameters())
        image = torch.rand(1, 3, size, size, device=first.device).contiguous(memory_format=torch.channels_last)

        def call() -> None:
            for _ in range(steps):
                value = image.requires_grad_()
                for stage in stages:
                    value = stage(value)
                torch.autograd.grad(value[:, INDEX].mean(), image)

        return call

    def clean(self) -> None:
        """Take away what Lucent leaves behind: hooks on every module, and gradients of all weights."""
        for module in self.model.modules():
            module._forward_hooks.clear()
        self.model.zero_grad(set_to_none=True)


def play(match: Match, contestants: dict[str, Work], rounds: int) -> dict[str, list[float]]:
    """Each once without counting, then in turns."""
    for work in contestants.values():
        work()
        match.clean()
    return turns(contestants, rounds, after=match.clean)


def rows_of(what: str, target: float, taken: dict[str, list[float]], prefix: str = "") -> list[dict[str, Any]]:
    """A row a preset."""
    rows = []
    for preset in PRESETS:
        name = f"phosphene, {preset}"
        found = row(
            f"{what}; {'same recipe' if preset == 'lucent' else 'our default'}",
            target,
            {name: taken[f"{prefix}ours, {preset}"], "lucent": taken["lucent"]},
            name,
            "lucent",
        )
        rows.append(found)
    if "bare" in taken and not prefix:
        rows.append(row(f"{what}; bare passes, nothing else", None, taken, "bare", "lucent"))
    for found in rows:
        print(said(found), flush=True)
    return rows


def channel(match: Match, rounds: int, steps: int) -> list[dict[str, Any]]:
    """One channel at full size, in float32 and in bfloat16."""
    objective = ph.channel("layer2", INDEX)
    contestants = {"lucent": match.theirs(f"layer2:{INDEX}", SIZE, steps)}
    contestants |= match.ours(match.network, objective, SIZE, steps)
    contestants["bare"] = match.bare("layer2", SIZE, steps)
    narrow = match.ours(match.narrow, objective, SIZE, steps)
    contestants |= {f"bfloat16 {name}": work for name, work in narrow.items()}
    taken = play(match, contestants, rounds)
    what = f"one channel of layer2, {SIZE} px, {steps} steps"
    rows = rows_of(f"{what}, float32", 1 / 3, taken)
    return rows + rows_of(f"{what}, ours in bfloat16", 1 / 4, taken, "bfloat16 ")


def small(match: Match, rounds: int, steps: int) -> list[dict[str, Any]]:
    """One channel at 128 px."""
    contestants = {"lucent": match.theirs(f"layer2:{INDEX}", 128, steps)}
    contestants |= match.ours(match.network, ph.channel("layer2", INDEX), 128, steps)
    contestants["bare"] = match.bare("layer2", 128, steps)
    return rows_of(f"one channel of layer2, 128 px, {steps} steps", 1 / 8, play(match, contestants, rounds))


def many(match: Match, rounds: int, steps: int) -> list[dict[str, Any]]:
    """Many channels, of which few steps are enough; Lucent in the faster of its two ways."""
    objectives = match.lucent.objectives
    singles = [match.theirs(f"layer2:{index}", SIZE, steps) for index in range(MANY)]
    batched = objectives.Objective.sum([objectives.channel("layer2", index, batch=index) for index in range(MANY)])
    ways: dict[str, Work] = {
        "one after the other": lambda: [work() for work in singles],
        "in one batch": match.theirs(batched, SIZE, steps, batch=MANY),
    }
    trial = {}
    for name, work in ways.items():
        trial[name] = spent(work)[0]
        match.clean()
    way = min(trial, key=lambda name: trial[name])
    print(", ".join(f"Lucent {name} {taken:.1f} s" for name, taken in trial.items()), flush=True)
    contestants = {"lucent": ways[way]}
    contestants |= match.ours(match.network, [ph.channel("layer2", index) for index in range(MANY)], SIZE, steps)
    what = f"{MANY} channels of layer2, {SIZE} px, {steps} steps, Lucent {way}"
    return rows_of(what, 1 / 4, play(match, contestants, rounds))


def neuron(match: Match, rounds: int, steps: int) -> list[dict[str, Any]]:
    """One neuron with a field of 35 px."""
    contestants = {"lucent": match.theirs(match.lucent.objectives.neuron("layer1", INDEX), SIZE, steps)}
    contestants |= match.ours(match.network, ph.neuron("layer1", INDEX), SIZE, steps)
    contestants["bare"] = match.bare("layer1", 40, steps)  # the field and what aligns it with the stride
    return rows_of(f"one neuron of layer1, {SIZE} px, {steps} steps", 1 / 25, play(match, contestants, rounds))


def main(arguments: Sequence[str] | None = None) -> None:
    """Compare as the arguments say, print, and write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cases", nargs="+", choices=CASES, default=list(CASES))
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument(
        "--steps", type=int, default=128, help="gradient evaluations a picture (default 128; Lucent's own is 512)"
    )
    parser.add_argument("--many-steps", type=int, default=16, help=f"the same for {MANY} channels (default 16)")
    parser.add_argument("--neuron-steps", type=int, default=128, help="the same for the neuron (default 128)")
    parser.add_argument("--out", type=Path, default=RESULTS / "lucent.json")
    given = parser.parse_args(arguments)
    import torch

    match = Match(calibrated(channels_last=False).to("cuda" if torch.cuda.is_available() else "cpu"))
    run: dict[str, tuple[Callable[[Match, int, int], list[dict[str, Any]]], int]] = {
        "channel": (channel, given.steps),
        "small": (small, given.steps),
        "many": (many, given.many_steps),
        "neuron": (neuron, given.neuron_steps),
    }
    rows: list[dict[str, Any]] = []
    for name in given.cases:
        work, steps = run[name]
        rows += work(match, given.rounds, steps)
        # After each case, so that a run that is stopped leaves what it found.
        write(
            given.out,
            "lucent",
            QUESTION,
            rows,
            threads=torch.get_num_threads(),
            packages=("torch", "torch-lucent", "kornia"),
            notes=NOTES,
        )


if __name__ == "__main__":
    main()
