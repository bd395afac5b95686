"""Make ``docs/architectures.md`` and its picture: what works on which architecture.

Weights are random, so that nothing is downloaded: the table shows what can be read, rendered and inverted, not what a trained
network sees. It needs torchvision, timm and transformers:

    python docs/architectures.py [--only swin] [--steps 32]

Its second half is made of the table of the sweep, ``tests/sweep/outcomes.csv``, and nothing is computed for it:

    python docs/architectures.py --sweep
"""

from __future__ import annotations

import argparse
import contextlib
import re
import sys
import time
import warnings
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

import phosphene as ph
from phosphene.layers import ATTENTION

DOCS = Path(__file__).parent
sys.path[:0] = [str(DOCS.parent / "examples"), str(DOCS.parent / "tests")]

import pretend_operators  # noqa: E402
from sweep.outcomes import ORDER, Outcome, read  # noqa: E402

THUMBNAIL = 96
SWEEP = "## The sweep"
DEFAULTS = {
    "ResNet": ("torchvision:resnet18", "timm:test_resnet", "transformers:ResNet"),
    "EfficientNet": ("torchvision:efficientnet_b0", "timm:test_efficientnet", "transformers:EfficientNet"),
    "ConvNeXt": ("torchvision:convnext_tiny", "timm:convnext_zepto_rms", "transformers:ConvNeXt"),
    "DenseNet": ("torchvision:densenet121", "timm:densenet121", ""),
    "VGG": ("torchvision:vgg11", "timm:vgg11", ""),
    "MobileNet": ("torchvision:mobilenet_v2", "timm:mobilenetv3_small_050", "transformers:MobileNet V2"),
    "ViT": ("torchvision:vit_b_32", "timm:test_vit", "transformers:ViT"),
    "Swin": ("torchvision:swin_t", "timm:swin_tiny_patch4_window7_224", "transformers:Swin"),
}
"""Architectures of the sweep whose default layer of Grad-CAM the page shows: of torchvision, timm and transformers."""


@dataclass(frozen=True)
class Entry:
    """An architecture, by name for `phosphene.load` or as a function that returns a network, and the layer to render."""

    title: str
    name: str | Callable[[], ph.Network]
    layer: str
    size: int | None = None
    arguments: dict[str, Any] = field(default_factory=dict)

    @property
    def source(self) -> str:
        return self.name if isinstance(self.name, str) else f"`examples/{self.name.__module__}.py`"


@dataclass
class Row:
    """The results for one architecture, or the reasons why there are none."""

    entry: Entry
    listing: str = ""
    tokens: str = ""
    activations: str = ""
    picture: str = ""
    inversion: str = ""
    seconds: float = 0.0
    image: NDArray[np.float32] | None = None


def entries() -> list[Entry]:
    """Return all architectures of the table."""
    small_vit = {"image_size": 96, "num_hidden_layers": 4}
    return [
        Entry("ResNet-50", "torchvision:resnet50", "layer3", 128),
        Entry("VGG-16", "torchvision:vgg16", "features.22", 128),
        Entry("GoogLeNet", "torchvision:googlenet", "inception4c", 128, {"aux_logits": False, "init_weights": True}),
        Entry("ConvNeXt-T", "torchvision:convnext_tiny", "features.5", 128),
        Entry("EfficientNet-B0", "torchvision:efficientnet_b0", "features.5", 128),
        Entry("ViT-B/16", "torchvision:vit_b_16", "encoder.layers.encoder_layer_5"),
        Entry("Swin-T", "torchvision:swin_t", "features.5", 224),
        Entry("DeepLabV3", "torchvision:deeplabv3_mobilenet_v3_large", "backbone.16", 128),
        Entry("ViT-Ti/16", "timm:vit_tiny_patch16_224", "blocks.5"),
        Entry("DeiT-Ti/16, distilled", "timm:deit_tiny_distilled_patch16_224", "blocks.5"),
        Entry("Swin-T", "timm:swin_tiny_patch4_window7_224", "layers.2"),
        Entry("MLP-Mixer S/16", "timm:mixer_s16_224", "blocks.3"),
        Entry("ViT", "hf:vit", "vit.layers.2", None, small_vit),
        Entry("CLIP, image tower", "hf:clip_vision_model", "encoder.layers.5"),
        Entry("DINOv2 with registers", "hf:dinov2_with_registers", "dinov2_with_registers.encoder.layer.5"),
        Entry("SegFormer-B0", "hf:segformer", "segformer.stages.2.blocks.1", 128),
        *in_jax(),
    ]


def in_jax() -> Iterator[Entry]:
    """Yield the JAX networks of this repository; torchvision, timm and transformers have none."""
    import equinox_module
    import flax_linen
    import flax_nnx
    import plain_function

    yield Entry("Residual network, flax.nnx", flax_nnx.network, "stages.1", 96)
    yield Entry("Residual network, flax.linen", flax_linen.network, "stage2", 96)
    yield Entry("Residual network, Equinox", equinox_module.network, "stages.1", 96)
    yield Entry("Residual network, function", plain_function.network, "stage2", 96)


def network_of(entry: Entry) -> ph.Network:
    """Return the network, with random weights if it is loaded by name."""
    if not isinstance(entry.name, str):
        return entry.name()
    network = ph.load(entry.name, weights="random", size=entry.size, arguments=entry.arguments)
    calibrate(network)
    return network


def calibrate(network: ph.Network) -> None:
    """Set running statistics of batch normalisations from noise; with their initial values gradients vanish."""
    import torch

    model: Any = getattr(network, "model", None)
    norms = [part for part in model.modules() if isinstance(part, torch.nn.modules.batchnorm._BatchNorm)]
    if not norms:
        return
    for part in norms:
        part.momentum = None
        part.train()
    with torch.no_grad():
        model(torch.randn(8, network.input.channels, *network.input.size))
    model.eval()


def measure(entry: Entry, steps: int) -> Row:
    """Return the results for one architecture."""
    row, start = Row(entry), time.perf_counter()

    @contextlib.contextmanager
    def column(name: str) -> Iterator[None]:
        try:
            with warnings.catch_warnings(record=True) as said:
                warnings.simplefilter("always", ph.PhospheneWarning)
                yield
            notes = [str(note.message) for note in said if issubclass(note.category, ph.PhospheneWarning)]
            if notes:
                setattr(row, name, f"{getattr(row, name)}; {notes[0]}")
        except ph.PhospheneError as error:
            setattr(row, name, f"none: {error}")

    network: ph.Network | None = None
    with column("listing"):
        network = network_of(entry)
        maps = [path for path in network.layers if ATTENTION in path]
        row.listing = f"{len(network.layers)} layers" + (f", including {len(maps)} attention maps" if maps else "")
        found = network.layers[entry.layer].tokens
        row.tokens = "" if found is None else str(found)
    if network is None:
        return row
    size = (entry.size, entry.size) if entry.size else network.input.size
    images = np.random.default_rng(0).random((2, *size, 3)).astype(np.float32)
    with column("activations"):
        value = ph.activations(network, images, entry.layer)[entry.layer]
        row.activations = " x ".join(map(str, value.shape[1:]))
    with column("picture"):
        target = ph.channel(entry.layer, 3)
        pictures = ph.render(network, target, size=size, steps=steps, transforms=[], progress=False)
        first, last = pictures.history[0, 0], pictures.values[0]
        row.picture = f"{first:.3g} to {last:.3g}" + (
            f" ({pictures.status[0]})" if pictures.status[0] == "dead" else ""
        )
        row.image = pictures.images[0]
    with column("inversion"):
        rebuilt = ph.invert(network, smooth(size), entry.layer, steps=steps, progress=False)
        row.inversion = f"{rebuilt.scores['cosine'][0]:.2f}"
    row.seconds = time.perf_counter() - start
    return row


def smooth(size: tuple[int, int]) -> NDArray[np.float32]:
    """Return a photograph of that size."""
    from PIL import Image

    from phosphene.data.photographs import PHOTOGRAPHS
    from phosphene.data.photographs import pixels as pixels_of

    pixels = pixels_of(next(photograph for photograph in PHOTOGRAPHS if photograph.name == "coffee"))
    side = min(pixels.shape[:2])
    square = Image.fromarray(pixels[:side, :side]).resize((size[1], size[0]), Image.Resampling.LANCZOS)
    return np.asarray(square, np.float32)[None] / np.float32(255)


def table(rows: list[Row], steps: int) -> str:
    """Return the page."""
    columns = ("architecture", "name", "layers", "layer", "shape", "tokens", "unit", "inversion")
    lines = ["| " + " | ".join(columns) + " |", "|" + " --- |" * len(columns)]
    for row in rows:
        source = f"`{row.entry.source}`" if isinstance(row.entry.name, str) else row.entry.source
        cells = [row.entry.title, source, row.listing, f"`{row.entry.layer}`"]
        cells += [row.activations, row.tokens or "–", row.picture, row.inversion]
        lines.append("| " + " | ".join(cell.replace("|", "\\|") or "–" for cell in cells) + " |")
    return f"""# Architectures

What works on architectures from common packages: reading, feature visualization and inversion. The weights are random (with
batch normalisations calibrated on noise), so the table shows what works, not what a trained network sees. The page is made by
`docs/architectures.py`. Pictures and inversions take {steps} steps of the default recipe, pictures without its transforms, since
the patterns of units with random weights are not stable under shifts.

*Unit* is channel 3 of the layer: its mean activation at the first step and for the final picture. *Inversion* is of one
photograph: the cosine between its activation and that of the reconstruction.

{chr(10).join(lines)}

![Pictures of one unit of each architecture](images/architectures.png)

*Pictures of the units, in the order of the table.*

torchvision, timm and transformers (since version 5) have no JAX models; those in the table are the [examples](../examples) of
this repository. Any other nnx, linen or Equinox module, or function, is wrapped in the same way.
"""


def sweep(rows: list[Outcome]) -> str:
    """Return the half of the page that tells of the sweep."""
    known = {row.key: row for row in rows}
    sources = list(dict.fromkeys(row.source for row in rows))
    counts = Counter((row.source, row.outcome) for row in rows)
    lines = ["| source | architectures | " + " | ".join(ORDER) + " |", "|" + " --- |" * (len(ORDER) + 2)]
    for source in sources:
        numbers = [counts[source, outcome] for outcome in ORDER]
        lines.append(f"| {source} | {sum(numbers)} | " + " | ".join(map(str, numbers)) + " |")
    totals = [sum(counts[source, outcome] for source in sources) for outcome in ORDER]
    lines.append(f"| all | {sum(totals)} | " + " | ".join(map(str, totals)) + " |")
    layers = ["| family | torchvision | timm | transformers |", "|" + " --- |" * 4]
    for family, keys in DEFAULTS.items():
        cells = [_layer(known[key]) if key in known else "–" for key in keys]
        layers.append(f"| {family} | " + " | ".join(cells) + " |")
    errors = ["| architecture | what failed, and why |", "| --- | --- |"]
    errors += [f"| `{row.key}` | {_cell(row.reason)} |" for row in rows if row.outcome not in ("wrapped", "warned")]
    return f"""{SWEEP}

`make sweep` tries {len(rows)} architectures: the smallest member of every family of torchvision and timm, image models of
transformers with two layers, and flax and Equinox modules written as their documentation writes them. Each is wrapped; every
layer's shape and values are compared with what hooks of the suite's own see on the plain model
({sum(row.compared for row in rows):,} layers); two layers are rendered for a few steps; the gradient is compared with finite
differences in float64; Grad-CAM by default and by layer and guided backpropagation are computed; a unit rendered from the window
around its receptive field is compared with the same from the whole image; and the model must be left as it was found. The table
is [tests/sweep/outcomes.csv](../tests/sweep/outcomes.csv), and {sum(row.quick for row in rows)} of them are tried again
with every `make test-slow`.

{chr(10).join(lines)}

*Warned*: everything works, and a warning says what the user should know. *Named error*: something does not work, and the error
tells the cause. The other outcomes must not come.

### The layer of Grad-CAM by default

{chr(10).join(layers)}

### What does not work

{chr(10).join(errors)}
"""


def _layer(row: Outcome) -> str:
    layer, _, grid = row.cam.rpartition(" ")
    return f"`{layer}`, {grid.replace('x', ' x ')}" if layer else "–"


def _cell(text: str) -> str:
    return re.sub(r"([|<>*_])", r"\\\1", text)


def contact_sheet(rows: list[Row]) -> bytes:
    """Return the pictures as one PNG."""
    from PIL import Image

    from phosphene.kit.pictures import grid_png

    images = []
    for row in rows:
        if row.image is not None:
            pixels = Image.fromarray(np.round(255 * row.image).astype(np.uint8))
            images.append(np.asarray(pixels.resize((THUMBNAIL, THUMBNAIL), Image.Resampling.LANCZOS), np.float32) / 255)
    return grid_png(np.stack(images))


def main() -> None:
    """Measure and write."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--only", default="", help="Only rows whose title or name contains this; nothing is written.")
    parser.add_argument("--steps", type=int, default=32, help="Gradient evaluations per picture.")
    parser.add_argument("--sweep", action="store_true", help="Write only the half of the page that tells of the sweep.")
    given = parser.parse_args()
    page = DOCS / "architectures.md"
    if given.sweep:
        page.write_text(page.read_text().partition(SWEEP)[0] + sweep(list(read().values())))
        return
    pretend_operators.declare()  # torchvision may lack its own operators if PyTorch is a CPU build
    rows = []
    for entry in entries():
        if given.only.lower() in f"{entry.title} {entry.source}".lower():
            rows.append(measure(entry, given.steps))
            shown = rows[-1]
            print(
                f"{entry.title:28} {shown.listing} | {shown.activations} | {shown.tokens} | {shown.picture} | "
                f"{shown.inversion} | {shown.seconds:.0f} s",
                flush=True,
            )
    if not given.only:
        page.write_text(table(rows, given.steps) + "\n" + sweep(list(read().values())))
        (DOCS / "images" / "architectures.png").write_bytes(contact_sheet(rows))


if __name__ == "__main__":
    main()
