"""The command that looks for what is wrong before the work begins: diagnose."""

from __future__ import annotations

from typing import Annotated

import typer

from phosphene.cli.options import AnyBackend, ImagesOption, InputSize, Model, Seed, Weights, parse_target

__all__ = ["diagnose"]

GRAVE = 3
"""Gravity of a finding for which a script should stop: pictures would be wrong."""


def diagnose(
    model: Model,
    targets: Annotated[
        list[str] | None, typer.Argument(help="as for render; each is held against the model; none where absent")
    ] = None,
    backend: AnyBackend = None,
    weights: Weights = None,
    input_size: InputSize = None,
    images: ImagesOption = None,
    seed: Seed = 0,
) -> None:
    """Look for what would make pictures flat, grey or wrong; exit status 1 where they would be wrong."""
    import phosphene as ph
    from phosphene.data.places import source_at

    wanted = [objective for text in targets or () for objective in parse_target(text)]
    network = ph.load(model, backend=backend, weights=weights, size=input_size)
    source = None if images is None else source_at(images, network.input.size, network.input.channels)
    found = ph.diagnose(network, wanted, images=source, seed=seed)
    typer.echo(f"{found!r}")
    if any(finding.gravity >= GRAVE for finding in found.findings):
        raise SystemExit(1)
