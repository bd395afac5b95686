"""Commands that assess pictures: trust, quiz."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from phosphene.cli.options import (
    FIGURES,
    Backend,
    Column,
    Fit,
    InputSize,
    Model,
    Preset,
    RealImages,
    Seed,
    Size,
    Steps,
    Targets,
    Weights,
    check_out,
    opened,
    parse_targets,
    say,
)

__all__ = ["quiz", "trust"]


def trust(
    model: Model,
    targets: Targets,
    images: RealImages = "photos:1000",
    backend: Backend = None,
    weights: Weights = None,
    input_size: InputSize = None,
    fit: Fit = None,
    column: Column = None,
    out: Annotated[Path, typer.Option(help="Output page, .html, table, .csv, or figure, .png, .svg or .pdf.")] = Path(
        "out/trust.html"
    ),
    size: Size = None,
    steps: Steps = None,
    seed: Seed = 0,
    seeds: Annotated[int, typer.Option(help="Runs with different seeds that have to agree.")] = 3,
    preset: Preset = None,
    quiz: Annotated[
        Path | None,
        typer.Option(help="The .npz file that `phosphene quiz` wrote for the same pictures; requires --answers."),
    ] = None,
    answers: Annotated[
        list[Path] | None,
        typer.Option(help="Answers that the quiz page saved, one file per person; can be repeated."),
    ] = None,
) -> None:
    """Render targets and assess how far each picture can be trusted, by comparison with real images.

    With --quiz and --answers the cards include people's answers about the pictures of the quiz: use the same targets, size,
    steps, seed and preset as for the quiz.
    """
    import phosphene as ph
    from phosphene.cli.image_arguments import declared

    out = check_out(out, ".html", ".csv", *FIGURES)
    asked = _answered(quiz, answers or [])
    given = declared(images, fit, column)
    network, pictures, source = _rendered(
        (model, backend, weights, input_size), targets, given, size=size, steps=steps, seed=seed, preset=preset
    )
    cards = ph.assess(network, pictures, source, seeds=seeds)
    if asked is not None:
        cards = cards.with_answers(asked, *(answers or []))
    cards.save(out)
    say(f"{cards!r}\n{out}")


def quiz(
    model: Model,
    targets: Targets,
    images: RealImages = "photos:1000",
    backend: Backend = None,
    weights: Weights = None,
    input_size: InputSize = None,
    fit: Fit = None,
    column: Column = None,
    out: Annotated[
        Path,
        typer.Option(help="Output page, .html; the quiz (.npz), needed to read answers, is written next to it."),
    ] = Path("out/quiz.html"),
    questions: Annotated[int, typer.Option(help="Largest number of questions per picture.")] = 12,
    size: Size = None,
    steps: Steps = None,
    seed: Seed = 0,
    preset: Preset = None,
) -> None:
    """Write a quiz page on which people use the pictures to tell which of two image patches activates a unit more.

    To evaluate their answers: phosphene trust ... --quiz quiz.npz --answers answers.json.
    """
    import phosphene as ph
    from phosphene.cli.image_arguments import declared

    out = check_out(out, ".html")
    check_out(out.with_suffix(".npz"), ".npz")
    given = declared(images, fit, column)
    network, pictures, source = _rendered(
        (model, backend, weights, input_size), targets, given, size=size, steps=steps, seed=seed, preset=preset
    )
    asked = ph.quiz(network, pictures, source, questions=questions, seed=seed)
    say(f"{asked!r}")
    for target in (out, out.with_suffix(".npz")):
        say(asked.save(target))


def _rendered(model: tuple[Any, ...], targets: list[str], images: Any, **options: Any) -> tuple[Any, Any, Any]:
    """Return the network, the pictures of the targets, and the real images, which are checked before rendering."""
    import phosphene as ph
    from phosphene.data.sources import source_of

    wanted = parse_targets(targets)
    name, backend, weights, input_size = model
    network = opened(name, backend, weights, input_size)
    source = source_of(images, network.input)
    return network, ph.render(network, wanted, **options), source


def _answered(quiz: Path | None, answers: list[Path]) -> Any:
    """Return the quiz of these answers; all files are read once, so that invalid ones raise before any work is done."""
    import phosphene as ph
    from phosphene.errors import InvalidParameter, said

    if quiz is None and not answers:
        return None
    if quiz is None or not answers:
        here, missing = ("answers", "quiz") if quiz is None else ("quiz", "answers")
        raise InvalidParameter(
            missing,
            allowed=f"--quiz and --answers together (--{here} is given)",
            received=said("nothing"),
            fix="`phosphene quiz` writes the quiz (.npz) next to its page, and the page saves answers (.json).",
        )
    asked = ph.Quiz.load(quiz)
    for path in answers:
        asked.read_answers(path)
    return asked
