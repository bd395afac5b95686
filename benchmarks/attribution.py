"""Whether maps equal those of pytorch-grad-cam and captum, and what Grad-CAM costs over the bare forward pass.

``python benchmarks/attribution.py [--backend torch jax] [--rounds 7] [--threads 2] [--out benchmarks/results/attribution.json]``

A ResNet-50 with random weights, its batch normalisations calibrated on noise, explains photographs of 224 px. The peers are put
into a folder of their own, outside the project's environment, at the first run. The contestants take turns within one process;
a ratio is to the bare pass right before, and their median is told with the least and the largest. On a machine that does other
work as well the processor's time is steadier than the wall's; with one thread both count the same work.
"""

from __future__ import annotations

import argparse
import statistics
from pathlib import Path
from typing import Any

import numpy as np
from common import RESULTS, SIZE, Work, add_peers, calibrated, said, spent, write
from numpy.typing import NDArray
from resnet50 import resnet50

import phosphene as ph
from phosphene.data.crops import Crops

IMAGES, LEAST, TARGET = 64, 0.999, 1.08
PEERS = ("grad-cam", "captum", "ttach", "opencv-python-headless")
QUESTION = "What does Grad-CAM of 64 images cost over a bare forward pass, and are maps those of the peers?"
NOTES = (
    "A ratio is to a bare forward pass of the same model right before: channels_last in PyTorch, jitted in JAX.",
    "The processor's time is steadier than the wall's on a machine that has other work. JAX has threads of its own.",
)


def correlation(one: NDArray[Any], other: NDArray[Any]) -> float:
    """Pearson's, the smallest of all images."""
    a, b = (maps.reshape(len(maps), -1).astype(np.float64) for maps in (one, other))
    a, b = a - a.mean(axis=1, keepdims=True), b - b.mean(axis=1, keepdims=True)
    return float(((a * b).sum(axis=1) / np.sqrt((a * a).sum(axis=1) * (b * b).sum(axis=1))).min())


def agreement(model: Any, count: int = 4) -> list[dict[str, Any]]:
    """Every method that a peer has, on equal settings: the smallest correlation with theirs over the images."""
    import captum.attr
    import pytorch_grad_cam
    import torch
    from pytorch_grad_cam.utils.model_targets import ClassifierOutputTarget

    network = ph.wrap(model, size=SIZE)
    images = Crops(count, seed=0, size=SIZE).images()
    x = torch.from_numpy(images).permute(0, 3, 1, 2)
    with torch.no_grad():
        # Each image's strongest class: for another, all of a map can be below zero, and its positive part nothing.
        targets = model(x).argmax(1).tolist()
    rows = []

    def ours(method: str, **options: Any) -> ph.Attribution:
        return ph.attribute(network, images, targets, method=method, **options)

    def compare(method: str, peer: str, mine: NDArray[Any], theirs: Any) -> None:
        array = theirs.detach().numpy() if isinstance(theirs, torch.Tensor) else np.asarray(theirs)
        rows.append({"method": method, "peer": peer, "correlation": correlation(mine, array)})
        print(f"{method:22s} {peer:17s} {rows[-1]['correlation']:.7f}", flush=True)

    def last(tensor: Any) -> Any:
        return tensor.detach().permute(0, 2, 3, 1)

    cams = {"gradcam": "GradCAM", "gradcam++": "GradCAMPlusPlus", "hirescam": "HiResCAM", "layercam": "LayerCAM"}
    for layer in ("layer3", "layer4"):
        for method, name in cams.items():
            cam = getattr(pytorch_grad_cam, name)(model, [getattr(model, layer)])
            theirs = cam(x.clone(), targets=[ClassifierOutputTarget(target) for target in targets])
            cam.activations_and_grads.release()
            compare(f"{method}, {layer}", "pytorch-grad-cam", ours(method, layer=layer).maps, theirs)
        raw = captum.attr.LayerGradCam(model, getattr(model, layer)).attribute(x, targets)
        compare(f"gradcam, {layer}", "captum", ours("gradcam", layer=layer).raw, raw[:, 0])
        product = captum.attr.LayerGradientXActivation(model, getattr(model, layer)).attribute(x, targets)
        compare(f"hirescam, {layer}", "captum", ours("hirescam", layer=layer).raw, product.sum(1))

    compare(
        "gradient", "captum", ours("gradient").raw, last(captum.attr.Saliency(model).attribute(x, targets, abs=False))
    )
    product = captum.attr.InputXGradient(model).attribute(x, targets)
    compare("gradient_x_input", "captum", ours("gradient_x_input").raw, last(product))
    guided = ours("guided_backprop").raw
    compare("guided_backprop", "captum", guided, last(captum.attr.GuidedBackprop(model).attribute(x, targets)))
    # It changes the modules of what it is given: a copy.
    one = pytorch_grad_cam.GuidedBackpropReLUModel(calibrated())
    theirs = np.stack([one(x[row : row + 1].clone(), targets[row]) for row in range(count)])
    compare("guided_backprop", "pytorch-grad-cam", guided, theirs)
    compare("deconvnet", "captum", ours("deconvnet").raw, last(captum.attr.Deconvolution(model).attribute(x, targets)))
    both = captum.attr.GuidedGradCam(model, model.layer3).attribute(x, targets, interpolate_mode="bilinear")
    compare("guided_gradcam, layer3", "captum", ours("guided_gradcam", layer="layer3").raw, last(both))
    line = captum.attr.IntegratedGradients(model).attribute(x, 0.0, targets, n_steps=16, method="gausslegendre")
    compare("integrated_gradients", "captum", ours("integrated_gradients", steps=16).raw, last(line))
    covered = captum.attr.Occlusion(model).attribute(
        x, (3, 56, 56), strides=(3, 28, 28), baselines=0.5, target=targets, perturbations_per_eval=4
    )
    # A signed map is divided by its largest value; the covered colours all have the same.
    compare("occlusion", "captum", ours("occlusion", window=56, stride=28).maps, covered[:, 0])
    return rows


def torch_contestants(model: Any) -> dict[str, Work]:
    """Grad-CAM of the last stage, to maps of the images' size, from images in memory."""
    import captum.attr
    import pytorch_grad_cam
    import torch
    from pytorch_grad_cam.utils.model_targets import ClassifierOutputTarget

    images = Crops(IMAGES, seed=0, size=SIZE).images()
    targets = list(range(IMAGES))
    network = ph.wrap(model, size=SIZE)
    x = torch.from_numpy(images).permute(0, 3, 1, 2)
    layer_cam = captum.attr.LayerGradCam(model, model.layer4)

    def bare() -> None:
        with torch.no_grad():
            model(x)

    def captums() -> Any:
        return captum.attr.LayerAttribution.interpolate(layer_cam.attribute(x, targets), (SIZE, SIZE), "bilinear")

    def pytorch_grad_cams() -> Any:
        # Its hooks stay until they are released, and would slow the others down.
        cam = pytorch_grad_cam.GradCAM(model, [model.layer4])
        found = cam(x, targets=[ClassifierOutputTarget(target) for target in targets])
        cam.activations_and_grads.release()
        return found

    return {
        "bare": bare,
        "phosphene": lambda: ph.attribute(network, images, targets, layer="layer4"),
        "captum": captums,
        "pytorch-grad-cam": pytorch_grad_cams,
    }


def jax_contestants() -> dict[str, Work]:
    """Ours against the jitted forward pass of the same module."""
    import jax
    import jax.numpy as jnp
    from flax import nnx

    model = resnet50("jax")
    network = ph.wrap(model, size=SIZE)
    images = Crops(IMAGES, seed=0, size=SIZE).images()
    given = jnp.asarray(images)
    graph, state = nnx.split(model)
    forward = jax.jit(lambda state, x: nnx.merge(graph, state)(x))

    def bare() -> None:
        jax.block_until_ready(forward(state, given))

    return {
        "bare": bare,
        "phosphene": lambda: ph.attribute(network, images, list(range(IMAGES)), layer="layer4"),
    }


def costs(contestants: dict[str, Work], rounds: int, framework: str) -> list[dict[str, Any]]:
    """Each in turn right after a bare pass, `rounds` times: ratios of wall time, and of the processor's time."""
    for work in contestants.values():
        work()
    taken: dict[str, list[tuple[tuple[float, float], tuple[float, float]]]] = {name: [] for name in contestants}
    for _ in range(rounds):
        for name, work in contestants.items():
            before = spent(contestants["bare"])
            taken[name].append((spent(work), before))
    rows = []
    for name, pairs in taken.items():
        for number, clock in enumerate(("wall", "processor")):
            ratios = [own[number] / before[number] for own, before in pairs]
            label = "the bare pass itself" if name == "bare" else name
            rows.append(
                {
                    "case": f"{framework}: {label}, {clock} time",
                    "target": TARGET if name == "phosphene" and framework == "PyTorch" and clock == "wall" else None,
                    "ratio": statistics.median(ratios),
                    "least": min(ratios),
                    "most": max(ratios),
                    "rounds": len(ratios),
                    "seconds": {name: statistics.median(own[number] for own, _ in pairs)},
                }
            )
            print(said(rows[-1]), flush=True)
    return rows


def main() -> int:
    """Compare as the arguments say, print, and write; 1 when maps differ."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--backend", nargs="+", choices=("torch", "jax"), default=["torch", "jax"])
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--out", type=Path, default=RESULTS / "attribution.json")
    given = parser.parse_args()
    rows: list[dict[str, Any]] = []
    packages: list[str] = []
    maps: list[dict[str, Any]] = []
    for backend in given.backend:
        packages.append(backend)
        if backend == "torch":
            import torch

            torch.set_num_threads(given.threads)
            add_peers("peers", PEERS)
            packages += PEERS[:2]
            model = calibrated()
            maps = agreement(model)
            rows += costs(torch_contestants(model), given.rounds, "PyTorch")
        else:
            rows += costs(jax_contestants(), given.rounds, "JAX")
        # After each backend, so that one that is stopped leaves what the other found.
        write(
            given.out,
            "attribution",
            QUESTION,
            rows,
            threads=given.threads,
            packages=packages,
            notes=NOTES,
            agreement=maps,
        )
    return int(any(row["correlation"] < LEAST for row in maps))


if __name__ == "__main__":
    raise SystemExit(main())
