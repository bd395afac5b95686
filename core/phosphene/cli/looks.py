"""Commands that look at what a layer does with images: layers, activations, units, embed, attribute."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from phosphene.cli.options import (
    FIGURES,
    AnyBackend,
    ImagesArgument,
    InputSize,
    Layers,
    Model,
    OnError,
    Seed,
    Weights,
    beside,
    check_out,
    one_target,
)

__all__ = ["activations", "attribute", "embed", "layers", "units"]


def layers(model: Model, backend: AnyBackend = None, weights: Weights = None, input_size: InputSize = None) -> None:
    """List what can be read: path, kind, shape, parameters."""
    import phosphene as ph

    typer.echo(repr(ph.load(model, backend=backend, weights=weights, size=input_size).layers))


def activations(
    model: Model,
    images: ImagesArgument,
    layer: Layers,
    backend: AnyBackend = None,
    weights: Weights = None,
    input_size: InputSize = None,
    out: Annotated[
        Path, typer.Option(help="feature maps as .png, .svg or .pdf, one figure a layer, or all values as .npz")
    ] = Path("out/activations.png"),
    strongest: Annotated[int, typer.Option(help="channels in a figure, those that answer most")] = 8,
    over_image: Annotated[bool, typer.Option("--over-image", help="lay maps over the image")] = False,
    store: Annotated[
        Path | None, typer.Option(help="folder to stream into instead; called again, it goes on where it was killed")
    ] = None,
    dtype: Annotated[str | None, typer.Option(help="of what is stored: float16, float32 or float64")] = None,
    batch: Annotated[
        int | None, typer.Option(help="images at a time; where absent 16, and by memory with --store")
    ] = None,
    on_error: OnError = "raise",
) -> None:
    """Read layers: a figure of feature maps, an archive, or a store of any number of images."""
    import phosphene as ph
    from phosphene.cli.pictures import MOST_DRAWN, read_images
    from phosphene.data.places import source_at

    if store is None:
        check_out(out, *FIGURES, ".npz")
    network = ph.load(model, backend=backend, weights=weights, size=input_size)
    spec = network.input
    source = source_at(images, spec.size, spec.channels)
    if store is not None:
        found = ph.activations(network, source, layer, out=store, dtype=dtype, batch=batch, on_error=on_error)
        typer.echo(f"{found!r}\n{store}")
    elif out.suffix == ".npz":
        _archive(ph.activations(network, source, layer, dtype=dtype, batch=batch, on_error=on_error), out)
        typer.echo(out)
    else:
        pictures = read_images(images, spec.size, spec.channels, most=MOST_DRAWN)
        for path, target in beside(out, layer, network):
            maps = ph.feature_maps(network, pictures, path, strongest=strongest)
            maps.save(target, over_image=over_image)
            typer.echo(f"{maps!r}\n{target}")


def units(
    model: Model,
    images: ImagesArgument,
    layer: Layers,
    backend: AnyBackend = None,
    weights: Weights = None,
    input_size: InputSize = None,
    out: Annotated[
        Path, typer.Option(help="page to write, .html; the table (.csv) and the figure (.png) go beside it")
    ] = Path("out/units.html"),
    top: Annotated[int, typer.Option(help="examples a channel")] = 9,
    twins: Annotated[float, typer.Option(help="least correlation of near-duplicates")] = 0.95,
    batch: Annotated[int | None, typer.Option(help="images at a time; by memory where absent")] = None,
    on_error: OnError = "raise",
) -> None:
    """Report every channel: dead, always on, near-duplicates, and what it is strongest for."""
    import phosphene as ph
    from phosphene.data.places import source_at

    check_out(out, ".html")
    network = ph.load(model, backend=backend, weights=weights, size=input_size)
    source = source_at(images, network.input.size, network.input.channels)
    for path, page in beside(out, layer, network):
        found = ph.units(network, source, path, top=top, twins=twins, batch=batch, on_error=on_error)
        typer.echo(f"{found!r}")
        for target in (page, page.with_suffix(".csv"), page.with_suffix(".png")):
            typer.echo(found.save(target))


def embed(
    model: Model,
    images: ImagesArgument,
    layer: Layers,
    backend: AnyBackend = None,
    weights: Weights = None,
    input_size: InputSize = None,
    out: Annotated[Path, typer.Option(help="figure to write, .png, .svg or .pdf, or points as .npz")] = Path(
        "out/embedding.png"
    ),
    method: Annotated[str, typer.Option(help="pca, tsne or umap")] = "pca",
    dimensions: Annotated[int, typer.Option(help="2 or 3")] = 2,
    thumbnails: Annotated[bool, typer.Option("--thumbnails", help="small images in place of points")] = False,
    seed: Seed = 0,
) -> None:
    """Lay images out by what a layer makes of them, coloured by photograph or by subfolder."""
    import phosphene as ph
    from phosphene.cli.pictures import labels_of
    from phosphene.data.places import source_at

    check_out(out, *FIGURES, ".npz")
    network = ph.load(model, backend=backend, weights=weights, size=input_size)
    source = source_at(images, network.input.size, network.input.channels)
    labels = labels_of(images, source)
    drawn = {"thumbnails": True} if thumbnails and out.suffix != ".npz" else {}
    for path, target in beside(out, layer, network):
        found = ph.embed(
            network, source, path, method=method, dimensions=dimensions, seed=seed, thumbnails=thumbnails
        )  # fmt: skip
        found.save(target, labels, **drawn)
        typer.echo(f"{found!r}\n{target}")


def attribute(
    model: Model,
    images: ImagesArgument,
    backend: AnyBackend = None,
    weights: Weights = None,
    input_size: InputSize = None,
    out: Annotated[Path, typer.Option(help="overlays as .png, .svg or .pdf, or everything as .npz")] = Path(
        "out/attribution.png"
    ),
    method: Annotated[
        str, typer.Option(help="gradcam, guided_backprop, integrated_gradients, ...: a wrong name lists them")
    ] = "gradcam",
    target: Annotated[
        str, typer.Option(help="a class by name or index, LAYER:CHANNEL, or predicted: each image's own strongest")
    ] = "predicted",
    layer: Annotated[
        str | None, typer.Option(help="of a class activation map; the last with positions where absent")
    ] = None,
    sanity: Annotated[
        bool, typer.Option("--sanity", help="compare with maps of random weights, from the top down")
    ] = False,
    faithfulness: Annotated[
        bool, typer.Option("--faithfulness", help="cover and uncover pixels in the order of the map")
    ] = False,
    seed: Seed = 0,
) -> None:
    """Show which parts of images a class rests on."""
    import phosphene as ph
    from phosphene.cli.pictures import MOST_DRAWN, read_images

    check_out(out, *FIGURES, ".npz")
    wanted = None if target == "predicted" else one_target(target)
    network = ph.load(model, backend=backend, weights=weights, size=input_size)
    spec = network.input
    pictures = read_images(images, spec.size, spec.channels, most=None if out.suffix == ".npz" else MOST_DRAWN)
    found = ph.attribute(
        network, pictures, wanted, method=method, layer=layer, sanity=sanity, faithfulness=faithfulness, seed=seed
    )
    found.save(out)
    typer.echo(f"{found!r}")
    for module, rows in found.sanity.items():
        typer.echo(f"  random from the top down to {module}: rank correlation {rows.mean():.2f}")
    typer.echo(out)


def _archive(found: dict[str, Any], out: Path) -> None:
    """All values as a .npz, a layer a name, written whole or not at all."""
    import io

    import numpy as np

    from phosphene.files import write_whole

    buffer = io.BytesIO()
    np.savez_compressed(buffer, **found)
    write_whole(out, buffer.getvalue())
