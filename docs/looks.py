"""Makes the pictures of the pages on attribution, activations, units and embeddings, with the embedded network.

``python docs/looks.py [NAME ...]`` writes them to ``docs/images``; a name is attribution, controls, shortcut, activations, units or
embedding.
"""

from __future__ import annotations

import io
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

import phosphene as ph
from phosphene.data.crops import Crops
from phosphene.data.photographs import PHOTOGRAPHS, pixels
from phosphene.kit.figures import DIVERGING, SEQUENTIAL, colour_bar, figure_class, show_image

IMAGES = Path(__file__).parent / "images"
LARGEST = 350_000
"""Bytes above which a picture gets a palette."""

BLUE, ORANGE, GREEN, PINK, GREY = "#0072B2", "#D55E00", "#009E73", "#CC79A7", "#777777"
METHODS = (
    "gradient",
    "gradient_x_input",
    "smoothgrad",
    "integrated_gradients",
    "guided_backprop",
    "deconvnet",
    "gradcam",
    "gradcam++",
    "hirescam",
    "layercam",
    "guided_gradcam",
    "occlusion",
)
LAYER = "stage3"


def photograph(name: str, side: int = 128) -> Any:
    """The middle square of a photograph, at that many pixels."""
    from PIL import Image, ImageOps

    chosen = next(photo for photo in PHOTOGRAPHS if photo.name == name)
    picture = ImageOps.fit(Image.fromarray(pixels(chosen)), (side, side), Image.Resampling.LANCZOS)
    return np.asarray(picture, np.float32) / np.float32(255)


def gravel(count: int) -> Any:
    """Crops of gravel with the planted mark."""
    crops = Crops(18 * count, seed=3, shortcut=True)
    return np.stack([crops[int(index)][0] for index in np.flatnonzero(crops.labels == crops.classes.index("gravel"))])


def attribution() -> Any:
    """A photograph under all twelve methods."""
    net = ph.load("specimen")
    image = photograph("cat")
    figure = figure_class()(figsize=(8.9, 3.0), layout="constrained")
    axes = figure.subplots(2, 7, squeeze=False)
    for axis in axes.ravel():
        axis.axis("off")
    show_image(axes[0, 0], image)
    axes[0, 0].set_title("cat", fontsize=8)
    for number, method in enumerate(METHODS):
        layered = method in ("gradcam", "gradcam++", "hirescam", "layercam", "guided_gradcam")
        options: dict[str, Any] = (
            {"layer": LAYER} if layered else {"window": 24, "stride": 8} if method == "occlusion" else {}
        )
        found = ph.attribute(net, image[None], "cat", method=method, **options)
        axis = axes[number // 6, 1 + number % 6]
        axis.imshow(found.maps[0], interpolation="nearest", **limits_of(found))
        title = method.replace("_", " ").replace(" x ", " × ")
        axis.set_title(title.replace(" ", "\n", 1) if len(title) > 12 else title, fontsize=8)
    colour_bar(figure, axes.ravel(), "where a map has a sign", cmap=DIVERGING, vmin=-1, vmax=1)
    colour_bar(figure, axes.ravel(), "share of the largest value", cmap=SEQUENTIAL, vmin=0, vmax=1)
    return figure


def limits_of(found: ph.Attribution) -> dict[str, Any]:
    """Colours of a map, with or without a sign."""
    if found.signed:
        return {"cmap": DIVERGING, "vmin": -1, "vmax": 1}
    return {"cmap": SEQUENTIAL, "vmin": 0, "vmax": 1}


def controls() -> Any:
    """Randomised weights, and curves of deletion and insertion."""
    net = ph.load("specimen")
    crops = Crops(36, seed=3, region="strip")
    images, targets = crops.images(), crops.labels.tolist()
    figure = figure_class()(figsize=(10.0, 3.4), layout="constrained")
    left, middle, right = figure.subplots(1, 3, width_ratios=[1.25, 1, 1])
    shown = {"gradcam": BLUE, "gradient": GREEN, "guided_backprop": ORANGE}
    for method, colour in shown.items():
        options = {"layer": "stage3"} if method == "gradcam" else {}
        found = ph.attribute(net, images, targets, method=method, sanity=True, faithfulness=True, **options)
        names = ["none", *found.sanity]
        heights = [1.0, *(float(np.median(rows)) for rows in found.sanity.values())]
        label = method.replace("_", " ")
        left.plot(range(len(names)), heights, "o-", color=colour, markersize=4, linewidth=1.3, label=label)
        for axis, name in ((middle, "deletion"), (right, "insertion")):
            curve = np.median(found.curves[name], axis=1)
            area = np.median(found.scores[f"{name} area"])
            axis.plot(
                np.linspace(0, 100, len(curve)), curve, color=colour, linewidth=1.3, label=f"{label}, area {area:.1f}"
            )
    left.set_xticks(range(len(names)), names, rotation=25, ha="right")
    left.set_xlabel("random from the top down to", fontsize=8)
    left.set_ylabel("rank correlation with the map itself", fontsize=8)
    left.set_ylim(-0.1, 1.05)
    left.axhline(0, color=GREY, linewidth=0.6)
    left.set_title("sanity: should fall to 0", fontsize=9)
    for axis, title in ((middle, "deletion: should fall fast"), (right, "insertion: should rise fast")):
        axis.set_title(title, fontsize=9)
        axis.set_ylabel("logit of the class", fontsize=8)
    middle.set_xlabel("% of pixels covered with grey", fontsize=8)
    right.set_xlabel("% of pixels uncovered", fontsize=8)
    for axis in (left, middle, right):
        axis.tick_params(labelsize=7)
        axis.legend(fontsize=7, frameon=False)
        axis.spines[["top", "right"]].set_visible(False)
    return figure


def shortcut() -> Any:
    """A network that learnt a mark in the corner, and one that did not."""
    images = gravel(2)
    figure = figure_class()(figsize=(8.8, 2.9), layout="constrained")
    axes = figure.subplots(2, 5, squeeze=False)
    for row, image in enumerate(images):
        show_image(axes[row, 0], image)
    for number, name in enumerate(("specimen", "specimen-shortcut")):
        net = ph.load(name)
        for step, (method, options) in enumerate(
            (("gradcam", {"layer": "stage2"}), ("occlusion", {"window": 12, "stride": 4}))
        ):
            found = ph.attribute(net, images, "gravel", method=method, **options)
            for row in range(2):
                axis = axes[row, 1 + 2 * number + step]
                axis.imshow(found.maps[row], **limits_of(found))
                if row == 0:
                    axis.set_title(f"{name}\n{method}", fontsize=8)
    axes[0, 0].set_title("gravel,\nwith a mark", fontsize=8)
    for axis in axes.ravel():
        axis.axis("off")
    colour_bar(figure, axes.ravel(), "occlusion", cmap=DIVERGING, vmin=-1, vmax=1)
    colour_bar(figure, axes.ravel(), "gradcam", cmap=SEQUENTIAL, vmin=0, vmax=1)
    return figure


def activations() -> Any:
    """The strongest channels of a layer, over three photographs."""
    net = ph.load("specimen")
    images = np.stack([photograph(name) for name in ("cat", "coins", "flower")])
    return ph.feature_maps(net, images, "stage2", strongest=6).plot()


def units() -> Any:
    """A layer, as 720 crops see it."""
    return ph.units(ph.load("specimen"), "photos:720", "stage2", progress=False).plot(channels=7)


def embedding() -> Any:
    """Crops as the last stage arranges them."""
    crops = Crops(720, seed=5, region="strip")
    found = ph.embed(ph.load("specimen"), crops.images(), "stage3", method="tsne", progress=False)
    return found.plot(crops.labels, names=crops.classes)


PICTURES: dict[str, Callable[[], Any]] = {
    made.__name__: made for made in (attribution, controls, shortcut, activations, units, embedding)
}


def png(figure: Any) -> bytes:
    """The figure as it goes into a page."""
    from PIL import Image

    whole, result = io.BytesIO(), io.BytesIO()
    figure.savefig(whole, format="png", dpi=110, facecolor="white")
    picture = Image.open(whole).convert("RGB")
    if len(whole.getvalue()) > LARGEST:
        picture = picture.quantize(256, method=Image.Quantize.MEDIANCUT, kmeans=1, dither=Image.Dither.NONE)
    picture.save(result, "PNG", optimize=True)
    return result.getvalue()


def main() -> None:
    """Make those that are named, or all."""
    for name in sys.argv[1:] or PICTURES:
        data = png(PICTURES[name]())
        (IMAGES / f"{name}.png").write_bytes(data)
        print(f"{name}.png: {len(data) / 1000:.0f} kB", flush=True)


if __name__ == "__main__":
    main()
