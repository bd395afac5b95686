"""Commands about layers: layers, diagnose, activations, units, embed, attribute."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from phosphene.cli.options import (
    FIGURES,
    TARGETS,
    Backend,
    Column,
    Fit,
    ImagesArgument,
    ImagesOption,
    InputSize,
    Layers,
    Model,
    OnError,
    Seed,
    Weights,
    check_out,
    files_by_layer,
    one_target,
    opened,
    parse_targets,
    say,
)

__all__ = ["activations", "attribute", "diagnose", "embed", "layers", "units"]

GRAVE = 3
"""Gravity of findings for which the exit status is 1: pictures would be wrong."""


def layers(
    model: Model,
    backend: Backend = None,
    weights: Weights = None,
    input_size: InputSize = None,
    report: Annotated[
        bool,
        typer.Option(
            "--report",
            help="Print instead what was found about the model: mode, memory layout, random numbers, what backward rules reach, "
            "guesses, and modules that cannot be read, with the reason.",
        ),
    ] = False,
) -> None:
    """List the layers of a model: path, kind, shape and parameters."""
    network = opened(model, backend, weights, input_size)
    say(str(network.report()) if report else repr(network.layers))


def diagnose(
    model: Model,
    targets: Annotated[list[str] | None, typer.Argument(help=f"Targets to check: {TARGETS}.")] = None,
    backend: Backend = None,
    weights: Weights = None,
    input_size: InputSize = None,
    fit: Fit = None,
    column: Column = None,
    images: ImagesOption = None,
    seed: Seed = 0,
) -> None:
    """Check a model for problems that make pictures flat, grey or wrong; the exit status is 1 if they would be wrong."""
    import phosphene as ph
    from phosphene.cli.image_arguments import declared

    wanted = parse_targets(targets)
    given = None if images is None else declared(images, fit, column)
    network = opened(model, backend, weights, input_size)
    found = ph.diagnose(network, wanted, images=given, seed=seed)
    say(f"{found!r}")
    if any(finding.gravity >= GRAVE for finding in found.findings):
        raise SystemExit(1)


def activations(
    model: Model,
    images: ImagesArgument,
    layer: Layers,
    backend: Backend = None,
    weights: Weights = None,
    input_size: InputSize = None,
    fit: Fit = None,
    column: Column = None,
    out: Annotated[
        Path,
        typer.Option(help="Output file: feature maps as .png, .svg or .pdf (one per layer), or all values as .npz."),
    ] = Path("out/activations.png"),
    strongest: Annotated[int, typer.Option(help="Channels per figure, those with the largest activations.")] = 8,
    over_image: Annotated[bool, typer.Option("--over-image", help="Overlay the maps on the image.")] = False,
    store: Annotated[
        Path | None, typer.Option(help="Write a store to this folder instead; an interrupted run is resumed.")
    ] = None,
    dtype: Annotated[str | None, typer.Option(help="Precision of stored values: float16, float32 or float64.")] = None,
    batch: Annotated[
        int | None, typer.Option(help="Images per batch (default: 16; with --store, chosen by memory).")
    ] = None,
    on_error: OnError = "raise",
) -> None:
    """Read the activations of layers into a figure, an archive, or a store for many images."""
    import phosphene as ph
    from phosphene.cli.image_arguments import MOST_DRAWN, declared, read_images

    if store is None:
        out = check_out(out, *FIGURES, ".npz")
    given = declared(images, fit, column)
    network = opened(model, backend, weights, input_size)
    if store is not None:
        found = ph.activations(network, given, layer, out=store, dtype=dtype, batch=batch, on_error=on_error)
        say(f"{found!r}\n{found.folder}")
    elif out.suffix == ".npz":
        _archive(ph.activations(network, given, layer, dtype=dtype, batch=batch, on_error=on_error), out)
        say(out)
    else:
        pictures = read_images(given, network.input, most=MOST_DRAWN)
        for path, target in files_by_layer(out, layer, network):
            maps = ph.feature_maps(network, pictures, path, strongest=strongest)
            maps.save(target, over_image=over_image)
            say(f"{maps!r}\n{target}")


def units(
    model: Model,
    images: ImagesArgument,
    layer: Layers,
    backend: Backend = None,
    weights: Weights = None,
    input_size: InputSize = None,
    fit: Fit = None,
    column: Column = None,
    out: Annotated[
        Path, typer.Option(help="Output page, .html; a table (.csv) and a figure (.png) are written next to it.")
    ] = Path("out/units.html"),
    top: Annotated[int, typer.Option(help="Examples per channel.")] = 9,
    twins: Annotated[float, typer.Option(help="Smallest correlation of near-duplicate channels.")] = 0.95,
    batch: Annotated[int | None, typer.Option(help="Images per batch (default: chosen by memory).")] = None,
    on_error: OnError = "raise",
) -> None:
    """Report on every channel: dead, always active, near-duplicates, and the images that activate it most."""
    import phosphene as ph
    from phosphene.cli.image_arguments import declared
    from phosphene.data.sources import source_of

    out = check_out(out, ".html")
    given = declared(images, fit, column)
    network = opened(model, backend, weights, input_size)
    source = source_of(given, network.input)
    for path, page in files_by_layer(out, layer, network):
        found = ph.units(network, source, path, top=top, twins=twins, batch=batch, on_error=on_error)
        say(f"{found!r}")
        for target in (page, page.with_suffix(".csv"), page.with_suffix(".png")):
            say(found.save(target))


def embed(
    model: Model,
    images: ImagesArgument,
    layer: Layers,
    backend: Backend = None,
    weights: Weights = None,
    input_size: InputSize = None,
    fit: Fit = None,
    column: Column = None,
    out: Annotated[Path, typer.Option(help="Output figure, .png, .svg or .pdf, or points as .npz.")] = Path(
        "out/embedding.png"
    ),
    method: Annotated[str, typer.Option(help="pca, tsne or umap.")] = "pca",
    dimensions: Annotated[int, typer.Option(help="2 or 3.")] = 2,
    thumbnails: Annotated[bool, typer.Option("--thumbnails", help="Draw thumbnails in place of points.")] = False,
    seed: Seed = 0,
) -> None:
    """Embed images in the plane by their activations in a layer, coloured by photograph or subfolder."""
    import phosphene as ph
    from phosphene.cli.image_arguments import declared, labels_of
    from phosphene.data.sources import source_of

    out = check_out(out, *FIGURES, ".npz")
    given = declared(images, fit, column)
    network = opened(model, backend, weights, input_size)
    source = source_of(given, network.input)
    labels = labels_of(images, source)
    drawn = {"thumbnails": True} if thumbnails and out.suffix != ".npz" else {}
    for path, target in files_by_layer(out, layer, network):
        found = ph.embed(network, source, path, method=method, dimensions=dimensions, seed=seed, thumbnails=thumbnails)
        found.save(target, labels, **drawn)
        say(f"{found!r}\n{target}")


def attribute(
    model: Model,
    images: ImagesArgument,
    backend: Backend = None,
    weights: Weights = None,
    input_size: InputSize = None,
    fit: Fit = None,
    column: Column = None,
    out: Annotated[
        Path, typer.Option(help="Output file: overlays as .png, .svg or .pdf, or all arrays as .npz.")
    ] = Path("out/attribution.png"),
    method: Annotated[
        str, typer.Option(help="Attribution method, such as gradcam, guided_backprop or integrated_gradients.")
    ] = "gradcam",
    target: Annotated[
        str, typer.Option(help="Class by name or index, LAYER:CHANNEL, or 'predicted' for each image's top class.")
    ] = "predicted",
    layer: Annotated[
        str | None, typer.Option(help="Layer of a class activation map (default: the last one with positions).")
    ] = None,
    sanity: Annotated[
        bool, typer.Option("--sanity", help="Compare with maps for weights that are randomised from the top down.")
    ] = False,
    faithfulness: Annotated[
        bool, typer.Option("--faithfulness", help="Measure deletion and insertion in the order of the map.")
    ] = False,
    seed: Seed = 0,
) -> None:
    """Attribute a class, or another target, to pixels of images."""
    import phosphene as ph
    from phosphene.cli.image_arguments import MOST_DRAWN, declared, read_images

    out = check_out(out, *FIGURES, ".npz")
    wanted = None if target == "predicted" else one_target(target)
    given = declared(images, fit, column)
    network = opened(model, backend, weights, input_size)
    pictures = read_images(given, network.input, most=None if out.suffix == ".npz" else MOST_DRAWN)
    found = ph.attribute(
        network, pictures, wanted, method=method, layer=layer, sanity=sanity, faithfulness=faithfulness, seed=seed
    )
    found.save(out)
    say(f"{found!r}")
    for module, rows in found.sanity.items():
        say(f"  weights random from the output down to {module}: rank correlation {rows.mean():.2f}")
    say(out)


def _archive(found: dict[str, Any], out: Path) -> None:
    """Write all values as an .npz file with one array per layer."""
    import io

    import numpy as np

    from phosphene.kit.writing import write_whole

    buffer = io.BytesIO()
    np.savez_compressed(buffer, **found)
    write_whole(out, buffer.getvalue())
