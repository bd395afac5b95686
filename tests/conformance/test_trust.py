"""Trust cards and quizzes on every backend: each figure against a slow way to it, planted deceit, and bad input."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import phosphene as ph
from phosphene.backend import Network
from phosphene.data.crops import Crops
from phosphene.errors import CorruptFile, InvalidImages, InvalidParameter
from phosphene.trust import robust_values, witness
from phosphene.trust.natural_images import responses

CHANNELS = (3, 20, 41, 77)


@pytest.fixture
def backend(costly_backend: str) -> str:
    return costly_backend


@pytest.fixture(scope="module")
def images() -> np.ndarray:
    return Crops(260, seed=5).images()


@pytest.fixture(scope="module")
def assessed(images: np.ndarray) -> dict[str, tuple[Network, list[ph.Renders], ph.TrustCards]]:
    """Four channels of the specimen's last stage, once a backend."""
    made: dict[str, tuple[Network, list[ph.Renders], ph.TrustCards]] = {}

    class Lazy(dict):  # type: ignore[type-arg]
        def __missing__(self, backend: str) -> object:
            network = ph.load("specimen", backend=backend)
            wanted = [ph.channel("stage3", index) for index in CHANNELS]
            runs = [ph.render(network, wanted, size=64, steps=48, seed=seed, progress=False) for seed in range(2)]
            self[backend] = (network, runs, ph.assess(network, runs, images, seeds=2))
            return self[backend]

    return Lazy(made)


def test_each_figure_is_what_a_slow_way_finds(
    backend: str, assessed: dict[str, tuple[Network, list[ph.Renders], ph.TrustCards]], images: np.ndarray
) -> None:
    network, runs, cards = assessed[backend]
    layer = ph.activations(network, images, "stage3")["stage3"].mean(axis=(1, 2))
    pictures = ph.activations(network, runs[0].images, "stage3")["stage3"].mean(axis=(1, 2))
    distances = witness(network.backend)(runs[0].images, images)
    robust = robust_values(network, [ph.channel("stage3", index) for index in CHANNELS], runs[0].images)
    for row, (channel, card) in enumerate(zip(CHANNELS, cards, strict=True)):
        own = layer[:, channel]
        assert card.clean == pytest.approx(runs[0].values[row], rel=1e-6)
        assert card.robust == pytest.approx(robust[row], rel=1e-6)
        assert card.percentile == pytest.approx(100 * (own < card.clean).mean(), abs=1e-9)
        standard = (pictures[row] - layer.mean(axis=0)) / (layer.std(axis=0) + 1e-12)
        assert card.rank == 1 + int((np.delete(standard, channel) > standard[channel]).sum())
        assert card.units == 128
        order = np.argsort(-own, kind="stable")
        np.testing.assert_array_equal(card.strongest[0], images[order[0]])
        assert own[
            [int(np.flatnonzero((images == patch).all(axis=(1, 2, 3)))[0]) for patch in card.weakest]
        ].max() <= np.median(own)
        correlation = np.corrcoef(layer.T)[channel]
        correlation[channel] = -1
        assert card.nearest[0][0] == np.nanargmax(correlation)
        assert card.nearest[0][1] == pytest.approx(np.nanmax(correlation), abs=1e-4)
        # All pairs there could be, of which the card's are a sample: 25 pairs have a deviation of a tenth at most.
        strong, weak = own >= np.quantile(own, 0.9), own <= np.quantile(own, 0.5)
        all_pairs = (distances[row][strong][:, None] < distances[row][weak][None]).mean()
        assert card.score == pytest.approx(all_pairs, abs=0.25)
        assert card.score_interval[0] < card.score < card.score_interval[1] or card.score in (0.0, 1.0)


@pytest.mark.slow
def test_backends_agree(
    assessed: dict[str, tuple[Network, list[ph.Renders], ph.TrustCards]], images: np.ndarray
) -> None:
    pytest.importorskip("torch")
    pytest.importorskip("jax")
    pictures = assessed["torch"][1]
    other = ph.load("specimen", backend="jax")
    own, theirs = assessed["torch"][2], ph.assess(other, pictures, images, seeds=2)
    assert own.words == theirs.words
    for one, two in zip(own, theirs, strict=True):
        assert (one.score, one.rank, one.natural_score) == (two.score, two.rank, two.natural_score)
        assert one.path == pytest.approx(two.path, abs=1e-3)
        assert one.consistency == pytest.approx(two.consistency, rel=0.1)  # its other units are rendered anew


def test_values_of_all_kinds_of_objectives(specimen: Network) -> None:
    pictures = Crops(3, seed=8).images()
    rng = np.random.default_rng(0)
    objectives = [
        ph.channel("stage2", 4),
        ph.neuron("stage2", 4),
        ph.neuron("stage2", 4, (1, 2)),
        ph.direction("stage2", rng.normal(size=64)),
        ph.direction("stage2", rng.normal(size=64), at="mean", cosine_power=2.0),
        ph.logit(3),
        ph.channel("stage2", 4) - 2 * ph.channel("stage1", 1),
        ph.objectives.layer("stage1"),
    ]
    with specimen.scope():
        shapes = specimen.shapes((64, 64))
        bound = [item.bind(specimen, shapes) for item in objectives]
    seen = responses(specimen, bound, ("stem",), pictures)
    # What an ascent that makes no step says of its start is the same figure, by the engine's own way.
    for row, item in enumerate(objectives):
        run = ph.render(
            specimen,
            [item] * 3,
            size=64,
            steps=1,
            start=pictures,
            parameterization=ph.parameterizations.pixel(),
            transforms=[],
            regularizers=[],
            optimizer=ph.optimizers.sgd(1e-12),
            warm_up=0,
            progress=False,
        )
        np.testing.assert_allclose(seen.values[row], run.values, rtol=2e-4, atol=2e-4)
    assert seen.path["stem"].shape == (3, 24)


def test_noise_that_fools_gets_the_lower_card(specimen: Network, images: np.ndarray) -> None:
    wanted = [ph.channel("stage3", index) for index in CHANNELS]
    options = {
        "parameterization": ph.parameterizations.pixel(),
        "transforms": [],
        "regularizers": [],
        "optimizer": ph.optimizers.adam(0.05),
    }
    default = [ph.render(specimen, wanted, size=64, steps=64, seed=seed, progress=False) for seed in range(2)]
    noise = [ph.render(specimen, wanted, size=64, steps=64, seed=seed, progress=False, **options) for seed in range(2)]
    assert (noise[0].values > default[0].values).all()
    good, bad = (ph.assess(specimen, runs, images, seeds=2) for runs in (default, noise))
    for one, two in zip(good, bad, strict=True):
        assert two.slope < one.slope
        assert two.kept < one.kept
        assert two.word in ("doubtful", "failed")
        assert two.standing < one.standing


def test_neurons_at_two_places_are_ranked_each_at_its_own(specimen: Network, images: np.ndarray) -> None:
    places = [(0, 0), (5, 6)]
    run = ph.render(specimen, [ph.neuron("stage3", 20, at) for at in places], size=64, steps=24, progress=False)
    cards = ph.assess(specimen, run, images, seeds=1)
    natural = ph.activations(specimen, images, "stage3")["stage3"].astype(np.float64)
    seen = ph.activations(specimen, run.images, "stage3")["stage3"]
    for row, (place, card) in enumerate(zip(places, cards, strict=True)):
        cells = natural[:, *place]
        standard = (seen[row][place] - cells.mean(axis=0)) / (cells.std(axis=0) + 1e-12)
        assert card.rank == 1 + int((standard > standard[20] + 1e-6).sum())


def test_too_few_images_are_said_and_no_word_is_claimed(
    backend: str, assessed: dict[str, tuple[Network, list[ph.Renders], ph.TrustCards]], images: np.ndarray
) -> None:
    network, runs, _ = assessed[backend]
    few = ph.assess(network, runs, images[:30], seeds=2)
    assert set(few.words) == {"not judged"}
    assert all("30 real images are not enough" in card.reason for card in few)
    many = assessed[backend][2]
    assert all(one.interval[0] < two.interval[0] for one, two in zip(few, many, strict=True))


def test_one_seed_is_said(specimen: Network, images: np.ndarray) -> None:
    run = ph.render(specimen, ph.channel("stage3", 20), size=64, steps=48, progress=False)
    alone = ph.assess(specimen, run, images, seeds=1)
    assert np.isnan(alone[0].consistency)
    assert alone.words[0] in ("not judged", "failed")
    assert "consistency over seeds was not measured" in alone[0].reason


def test_one_picture_is_compared_with_other_units_that_are_made_for_it(specimen: Network, images: np.ndarray) -> None:
    run = ph.render(specimen, ph.channel("stage3", 20), size=64, steps=32, progress=False)
    cards = run.trust(specimen, images, seeds=2)
    assert np.isfinite(cards[0].consistency)
    assert cards.settings["seeds"] == 2


def test_images_on_which_a_unit_never_fires(specimen: Network) -> None:
    flat = np.full((260, 64, 64, 3), 0.5, np.float32)
    run = ph.render(specimen, ph.channel("stage3", 20), size=64, steps=32, progress=False)
    cards = ph.assess(specimen, run, flat, seeds=2)
    assert cards[0].asked == 0 and np.isnan(cards[0].score)
    assert cards.words == ("not judged",) and "responds to all of these real images alike" in cards[0].reason


def test_what_does_not_fit_is_refused(specimen: Network, images: np.ndarray) -> None:
    run = ph.render(specimen, [ph.channel("stage3", 1), ph.channel("stage3", 2)], size=64, steps=2, progress=False)
    with pytest.raises(InvalidParameter, match=r"objectives: expected 2 items \(one per picture\), got 1"):
        ph.assess(specimen, run, images, objectives=[ph.channel("stage3", 1)])
    with pytest.raises(InvalidParameter, match="renders"):
        ph.assess(specimen, [run, run[:1]], images)
    with pytest.raises(InvalidParameter, match="renders"):
        ph.assess(specimen, [], images)
    with pytest.raises(InvalidImages):
        ph.assess(specimen, run, images * 300)
    with pytest.raises(InvalidParameter, match="seeds"):
        ph.assess(specimen, run, images, seeds=0)
    with pytest.raises(InvalidParameter, match="objectives"):
        ph.assess(specimen, replace(run, settings={}), images)
    part = ph.assess(specimen, run.rows([1]), images, seeds=1)
    assert part[0].label == "stage3 : 2"


def test_a_function_of_ones_own_needs_to_be_given(specimen: Network, images: np.ndarray) -> None:
    def mine(xp: object, activations: dict[str, object]) -> object:
        return activations["stage3"].mean((1, 2, 3))  # type: ignore[attr-defined]

    run = ph.render(specimen, mine, size=64, steps=2, progress=False)
    with pytest.raises(InvalidParameter):
        ph.assess(specimen, run, images, seeds=1)
    cards = ph.assess(specimen, run, images, seeds=1, objectives=[mine])
    assert cards[0].rank == 0 and np.isfinite(cards[0].percentile)


def test_a_quiz_asks_what_is_true(
    backend: str, assessed: dict[str, tuple[Network, list[ph.Renders], ph.TrustCards]], images: np.ndarray
) -> None:
    network, runs, _ = assessed[backend]
    asked = ph.quiz(network, runs[0], images, questions=6, seed=3)
    assert len(asked) == 24
    assert abs(int((asked.answers == 0).sum()) - 12) <= 1
    values = ph.activations(network, asked.patches, "stage3")["stage3"].mean(axis=(1, 2))
    for (unit, left, right), answer in zip(asked.questions, asked.answers, strict=True):
        one, two = values[left, CHANNELS[unit]], values[right, CHANNELS[unit]]
        assert (two > one) == bool(answer)
    with pytest.raises(InvalidParameter, match="at least 20"):
        ph.quiz(network, runs[0], images[:10])
    with pytest.raises(InvalidParameter, match="respond differently"):
        ph.quiz(network, runs[0], np.full((40, 64, 64, 3), 0.5, np.float32))


def test_peoples_answers_stand_beside_the_judges(
    backend: str,
    assessed: dict[str, tuple[Network, list[ph.Renders], ph.TrustCards]],
    images: np.ndarray,
    tmp_path: Path,
) -> None:
    network, runs, cards = assessed[backend]
    asked = ph.quiz(network, runs[0], images, questions=4)

    def file(name: str, wrong: set[int]) -> Path:
        rows = [
            {"question": number, "answer": int(answer) ^ (number in wrong), "seconds": 1.0}
            for number, answer in enumerate(asked.answers)
        ]
        text = {"format": "phosphene quiz answers", "version": 1, "quiz": asked.fingerprint, "answers": rows}
        (tmp_path / name).write_text(json.dumps(text))
        return tmp_path / name

    of_unit = np.flatnonzero(asked.questions[:, 0] == 2)
    merged = cards.with_answers(asked, file("a.json", set()), file("b.json", set(of_unit.tolist())))
    assert [card.people for card in merged] == [1.0, 1.0, 0.5, 1.0]
    assert merged[2].people_interval[0] < 0.5 < merged[2].people_interval[1]
    assert merged.words == cards.words
    with pytest.raises(InvalidParameter, match="at least one file"):
        cards.with_answers(asked)
    with pytest.raises(CorruptFile):
        cards.with_answers(asked, Path(__file__))
    others = replace(asked, pictures=1 - asked.pictures)
    rows = [{"question": 0, "answer": 1, "seconds": 1.0}]
    text = {"format": "phosphene quiz answers", "version": 1, "quiz": others.fingerprint, "answers": rows}
    (tmp_path / "c.json").write_text(json.dumps(text))
    with pytest.raises(InvalidParameter, match="a quiz about the pictures of these cards"):
        cards.with_answers(others, tmp_path / "c.json")


def test_cards_are_written(
    backend: str, assessed: dict[str, tuple[Network, list[ph.Renders], ph.TrustCards]], tmp_path: Path
) -> None:
    cards = assessed[backend][2]
    lines = cards.save(tmp_path / "cards.csv").read_text().splitlines()
    assert len(lines) == 5 and lines[1].startswith("stage3 : 3,")
    html = cards.save(tmp_path / "cards.html").read_text()
    assert html.count('class="card trust"') == 4 and 'src="http' not in html
    assert cards.save(tmp_path / "cards.png").stat().st_size > 10_000
    assert "TrustCards of 4 pictures" in repr(cards)
    with pytest.raises(InvalidParameter, match=r"\.csv"):
        cards.save(tmp_path / "cards.txt")
    assert not (tmp_path / "cards.txt").exists()
