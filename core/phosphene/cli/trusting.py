"""Commands that say how far to trust pictures: trust, quiz."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from phosphene.cli.options import (
    FIGURES,
    AnyBackend,
    InputSize,
    Model,
    Seed,
    Size,
    Steps,
    Weights,
    check_out,
    parse_target,
)
from phosphene.presets import preset_names

__all__ = ["quiz", "trust"]

Targets = Annotated[
    list[str], typer.Argument(help="a class (coins), channels (stage3:5, stage3:0-15), a neuron (stage3:5@2,3)")
]
RealImages = Annotated[
    str,
    typer.Option(
        "--images", help="real ones, at least 200: a folder, a picture, a text file of paths, or photos:N[:SEED]"
    ),
]
Preset = Annotated[str | None, typer.Option(help=", ".join(preset_names()))]


def trust(
    model: Model,
    targets: Targets,
    images: RealImages = "photos:1000",
    backend: AnyBackend = None,
    weights: Weights = None,
    input_size: InputSize = None,
    out: Annotated[Path, typer.Option(help="page to write, .html, table, .csv, or figure, .png, .svg or .pdf")] = Path(
        "out/trust.html"
    ),
    size: Size = None,
    steps: Steps = None,
    seed: Seed = 0,
    seeds: Annotated[int, typer.Option(help="runs, each of another seed, that have to agree")] = 3,
    preset: Preset = None,
    quiz: Annotated[
        Path | None, typer.Option(help="what phosphene quiz wrote, .npz, of the same pictures; needs --answers")
    ] = None,
    answers: Annotated[
        list[Path] | None,
        typer.Option(help="a file that the page of --quiz saved, one a person; may be given more than once"),
    ] = None,
) -> None:
    """Render targets and say how far each picture can be trusted, against real images.

    With --quiz and --answers the cards also tell what people made of the pictures, which must be those of the quiz: give the
    same targets, size, steps, seed and preset.
    """
    import phosphene as ph

    check_out(out, ".html", ".csv", *FIGURES)
    asked = _answered(quiz, answers or [])
    network, pictures, source = _rendered(
        (model, backend, weights, input_size), targets, images, size=size, steps=steps, seed=seed, preset=preset
    )
    cards = ph.assess(network, pictures, source, seeds=seeds)
    if asked is not None:
        cards = cards.with_answers(asked, *(answers or []))
    cards.save(out)
    typer.echo(f"{cards!r}\n{out}")


def quiz(
    model: Model,
    targets: Targets,
    images: RealImages = "photos:1000",
    backend: AnyBackend = None,
    weights: Weights = None,
    input_size: InputSize = None,
    out: Annotated[
        Path, typer.Option(help="page to write, .html; the quiz itself, .npz, goes beside it, to read answers with")
    ] = Path("out/quiz.html"),
    questions: Annotated[int, typer.Option(help="a picture, at most")] = 12,
    size: Size = None,
    steps: Steps = None,
    seed: Seed = 0,
    preset: Preset = None,
) -> None:
    """Write a page on which people are asked what the pictures tell: which of two real patches excites the unit more.

    Their answers are read by: phosphene trust ... --quiz quiz.npz --answers answers.json.
    """
    import phosphene as ph

    check_out(out, ".html")
    check_out(out.with_suffix(".npz"), ".npz")
    network, pictures, source = _rendered(
        (model, backend, weights, input_size), targets, images, size=size, steps=steps, seed=seed, preset=preset
    )
    asked = ph.quiz(network, pictures, source, questions=questions, seed=seed)
    typer.echo(f"{asked!r}")
    for target in (out, out.with_suffix(".npz")):
        typer.echo(asked.save(target))


def _rendered(model: tuple[Any, ...], targets: list[str], images: str, **options: Any) -> tuple[Any, Any, Any]:
    """The network, the pictures of the targets, and the place of real images, looked at before the pictures are made."""
    import phosphene as ph
    from phosphene.data.places import source_at

    wanted = [objective for text in targets for objective in parse_target(text)]
    name, backend, weights, input_size = model
    network = ph.load(name, backend=backend, weights=weights, size=input_size)
    source = source_at(images, network.input.size, network.input.channels)
    return network, ph.render(network, wanted, **options), source


def _answered(quiz: Path | None, answers: list[Path]) -> Any:
    """The quiz to which these are answers, each of them read once, so that a wrong one is said before any work is done."""
    import phosphene as ph
    from phosphene.errors import InvalidParameter, said

    if quiz is None and not answers:
        return None
    if quiz is None or not answers:
        here, missing = ("answers", "quiz") if quiz is None else ("quiz", "answers")
        raise InvalidParameter(
            missing, allowed=f"--quiz and --answers together: --{here} is given", received=said("nothing"),
            fix="phosphene quiz writes the quiz (.npz) beside its page, and the page saves answers (.json).",
        )  # fmt: skip
    asked = ph.Quiz.load(quiz)
    for path in answers:
        asked.read_answers(path)
    return asked
