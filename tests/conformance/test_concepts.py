"""Concepts on every backend: a planted mark is used where it was planted, random concepts are not found, and bad input."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import fields
from pathlib import Path

import numpy as np
import pytest

import phosphene as ph
from phosphene import errors
from phosphene.backend import Network
from phosphene.concepts import concept
from phosphene.concepts.result import Concept
from phosphene.concepts.sensitivity import steepest
from phosphene.data import MARK_CLASS, Crops, mark

pytest.importorskip("skimage"), pytest.importorskip("sklearn")

PLAIN = Crops(120, seed=5).images()
MARKED = np.stack([mark(image) for image in PLAIN[60:]])
Load = Callable[..., Network]


def of_the_mark(network: Network, layer: str = "stage3", seed: int = 0) -> Concept:
    return concept(network, layer, MARKED, PLAIN[:60], target=MARK_CLASS, trials=40, folds=3, seed=seed, label="mark")


@pytest.mark.parametrize("layer", ["stage1", "stage3"])
def test_the_mark_is_used_by_the_network_that_was_trained_on_it(load: Load, costly_backend: str, layer: str) -> None:
    found = of_the_mark(load("specimen-shortcut", costly_backend), layer)
    assert found.significant and found.accuracy > 0.9
    assert found.p_present == found.p_used == pytest.approx(1 / 41)
    assert found.sensitivity > 0.4 and found.sensitivity > 3 * found.sensitivity_null.std()
    assert "it speaks for gravel" in repr(found) and repr(found).endswith("  significant")


@pytest.mark.parametrize("layer", ["stem", "stage1", "stage3"])
def test_the_mark_is_not_used_by_the_network_that_never_was_trained_on_it(
    load: Load, costly_backend: str, layer: str
) -> None:
    found = of_the_mark(load("specimen", costly_backend), layer)
    assert not found.significant and found.p_used > 0.2
    assert abs(found.sensitivity) < 0.15
    assert "not more than chance" in repr(found) and repr(found).endswith("not significant")
    # It is there to be read in the first layer, as anything bright is, and is forgotten on the way.
    assert found.accuracy > 0.8 if layer == "stem" else found.accuracy < 0.75


def test_frameworks_agree(load: Load) -> None:
    torch, jax = (of_the_mark(load("specimen-shortcut", backend), "stage1") for backend in ("torch", "jax"))
    assert torch.vector @ jax.vector > 0.999
    assert torch.sensitivity == pytest.approx(jax.sensitivity, abs=1e-3)
    np.testing.assert_allclose(torch.sensitivity_null, jax.sensitivity_null, atol=1e-2)
    assert (torch.p_present, torch.p_used) == pytest.approx((jax.p_present, jax.p_used), abs=0.05)


def test_random_concepts_are_rejected(load: Load) -> None:
    network, found = load("specimen-shortcut", "torch"), []
    for seed in range(20):
        chosen = np.random.default_rng(seed).permutation(len(PLAIN))[:48]
        found.append(
            concept(
                network,
                "stage1",
                PLAIN[chosen[:24]],
                PLAIN[chosen[24:]],
                target=MARK_CLASS,
                trials=20,
                folds=2,
                seed=seed,
            )
        )
    assert sum(each.significant for each in found) <= 2
    # Each test for itself is no more generous than it says, either.
    assert sum(each.p_present < 0.05 for each in found) <= 3 and sum(each.p_used < 0.05 for each in found) <= 3
    assert 0.35 < np.mean([each.accuracy for each in found]) < 0.65


def test_the_derivative_is_that_of_adding_the_direction_everywhere(load: Load, backend: str) -> None:
    network, images, step = load("specimen", backend, "float64"), PLAIN[:3], 1e-5
    target = ph.logit("coins")
    bound = target.bind(network, network.shapes((64, 64)))
    slopes = steepest(network, bound, "stage2", images)
    np.testing.assert_allclose(np.square(slopes).sum(1), 1)
    rng, index = np.random.default_rng(0), network.classes.index("coins")  # type: ignore[union-attr]

    def value(vector: np.ndarray) -> np.ndarray:
        with network.scope():
            given = network.backend.from_numpy(images, device=network.device, dtype="float64")
            added = network.backend.from_numpy(vector, device=network.device, dtype="float64")
            seen = network.forward(given, ["output"], edit={"stage2": lambda xp, activation: activation + added})
            return np.asarray(network.backend.to_numpy(seen["output"]))[:, index]

    vectors = rng.standard_normal((3, 64))
    change = np.stack([(value(step * vector) - value(-step * vector)) / (2 * step) for vector in vectors], axis=1)
    along = slopes @ vectors.T
    scale = (change * along).sum(1) / (along * along).sum(1)
    np.testing.assert_allclose(change, along * scale[:, None], rtol=1e-3, atol=1e-4)


def test_without_a_target_it_is_only_read(specimen: Network) -> None:
    found = concept(specimen, "stage1", list(MARKED[:12]), PLAIN[:12], trials=20, folds=3)
    assert np.isnan(found.sensitivity) and np.isnan(found.p_used) and found.sensitivity_null.size == 0
    assert found.target == "" and found.counts == {"positives": 12, "negatives": 12, "images": 0}
    assert not found.significant and found.undecided == (found.p_present < 0.05)
    assert np.linalg.norm(found.vector) == pytest.approx(1) and found.vector.shape == (32,)
    again = concept(specimen, "stage1", MARKED[:12], PLAIN[:12], trials=20, folds=3)
    np.testing.assert_array_equal(again.vector, found.vector)
    np.testing.assert_array_equal(again.accuracy_null, found.accuracy_null)


def test_what_hangs_on_one_draw_is_not_significant(specimen: Network, tmp_path: Path) -> None:
    few = concept(specimen, "stem", MARKED, PLAIN[:60], trials=20, folds=2)
    assert few.p_present == pytest.approx(1 / 21) == few.resolution < 0.05
    assert few.undecided and not few.significant
    assert "smallest p with 20 random concepts: 0.048" in repr(few) and "give trials=200" in repr(few)
    assert "smallest p with 20 random concepts: 0.048" in few.plot()._supxlabel.get_text()
    more = concept(specimen, "stem", MARKED, PLAIN[:60], trials=40, folds=2)
    assert more.significant and not more.undecided
    # Few examples of few channels are cheap: more trials by default.
    assert len(concept(specimen, "stem", MARKED[:10], PLAIN[:10], folds=2).accuracy_null) == 200


def test_it_points_to_the_positives_and_is_a_target(specimen: Network) -> None:
    found = concept(
        specimen, "stage1", MARKED[:20], PLAIN[:25], target="coins", images=PLAIN[:4], trials=20, label="mark"
    )
    read = (
        ph.activations(specimen, np.concatenate([MARKED[:20], PLAIN[:25]]), "stage1")["stage1"].mean((1, 2))
        @ found.vector
    )
    assert read[:20].mean() > read[20:].mean()
    assert found.counts == {"positives": 20, "negatives": 25, "images": 4} and found.target == "coins"
    assert found.objective().label == "stage1 / mark"
    renders = ph.render(specimen, found.objective(), size=32, steps=3)
    assert np.all(np.isfinite(renders.values))
    # A direction is a target like any other, and so is a concept's.
    other = concept(specimen, "stem", MARKED[:8], PLAIN[:8], target=found.objective(), trials=20)
    assert other.target == "stage1 / mark" and np.isfinite(other.sensitivity)


def test_layers_without_positions_and_places(specimen: Network) -> None:
    found = concept(specimen, "output", Crops(10, seed=1), "photos:12:2", target=3, trials=20)
    assert found.vector.shape == (18,) and found.counts["positives"] == 10
    # The gradient of a logit at the logits is the logit.
    assert found.sensitivity == pytest.approx(found.vector[3], abs=1e-6)


def test_what_cannot_be(specimen: Network) -> None:
    good = PLAIN[:6]
    with pytest.raises(errors.InvalidImages, match="positives: expected at least 5 images, got 4"):
        concept(specimen, "stage1", PLAIN[:4], good)
    with pytest.raises(errors.InvalidImages, match="negatives: expected at least 7 images, got 6"):
        concept(specimen, "stage1", PLAIN[:9], good, folds=7)
    with pytest.raises(errors.InvalidImages, match="negatives: expected at least 5 images, got 0"):
        concept(specimen, "stage1", good, PLAIN[:0])
    with pytest.raises(errors.InvalidImages, match="negatives: expected shape"):
        concept(specimen, "stage1", good, np.zeros((6, 3, 64, 64)))
    with pytest.raises(errors.UnknownLayer, match="stage1"):
        concept(specimen, "stage7", good, good)
    with pytest.raises(errors.UnknownClass, match="coin"):
        concept(specimen, "stage1", good, good, target="coin")
    with pytest.raises(errors.InvalidObjective, match="comes before 'stem'"):
        concept(specimen, "stage1", good, good, target=ph.channel("stem", 1))
    with pytest.raises(errors.InvalidObjective, match="whose gradient is zero on all images"):
        concept(specimen, "stage1", good, good, target=0 * ph.logit(1))
    with pytest.raises(errors.InvalidParameter, match="trials: expected an integer of at least 20"):
        concept(specimen, "stage1", good, good, trials=19)
    with pytest.raises(errors.InvalidParameter, match="target: expected a target"):
        concept(specimen, "stage1", good, good, images=good)


def made(**changes: object) -> Concept:
    """A concept that no network was needed for."""
    rng = np.random.default_rng(0)
    given: dict[str, object] = {
        "layer": "stage1",
        "label": "mark",
        "vector": rng.standard_normal(32),
        "accuracy": 0.93,
        "accuracy_null": rng.random(40),
        "p_present": 1 / 41,
        "sensitivity": 0.4,
        "sensitivity_null": rng.random(40) - 0.5,
        "p_used": 2 / 41,
        "target": "gravel",
        "counts": {"positives": 9, "negatives": 8, "images": 8},
        "settings": {"network": "specimen", "seed": 0},
    }
    return Concept(**{**given, **changes})  # type: ignore[arg-type]


WITHOUT = {"target": "", "sensitivity": float("nan"), "p_used": float("nan"), "sensitivity_null": np.empty(0)}


@pytest.mark.parametrize("changes", [{}, WITHOUT])
def test_what_is_saved_comes_back(changes: dict[str, object], tmp_path: Path) -> None:
    found = made(**changes)
    loaded = Concept.load(found.save(tmp_path / "deep" / "c.npz"))
    for name in (field.name for field in fields(Concept)):
        np.testing.assert_equal(getattr(loaded, name), getattr(found, name))
    assert repr(loaded) == repr(found) and loaded.significant == found.significant
    assert [path.name for path in (tmp_path / "deep").iterdir()] == ["c.npz"]


def test_other_files_and_endings_are_refused(tmp_path: Path) -> None:
    path = made().save(tmp_path / "c.npz")
    path.write_bytes(path.read_bytes()[:300])
    with pytest.raises(
        errors.CorruptFile, match="cannot be read as Concept: it is not an archive of phosphene, or it is damaged"
    ):
        Concept.load(path)
    np.savez(tmp_path / "other.npz", a=np.zeros(3))
    with pytest.raises(errors.CorruptFile, match="cannot be read as Concept: it was not written by phosphene"):
        Concept.load(tmp_path / "other.npz")
    ph.Features("stage1", "nmf", "", np.eye(2), np.ones(2) / 2, 1.0).save(tmp_path / "features.npz")
    with pytest.raises(
        errors.CorruptFile, match="cannot be read as Concept: it holds another kind of result, 'features'"
    ):
        Concept.load(tmp_path / "features.npz")
    with pytest.raises(FileNotFoundError):
        Concept.load(tmp_path / "nothing.npz")
    with pytest.raises(
        errors.InvalidParameter, match=r"path: expected a name that ends in \.npz, \.png, \.svg or \.pdf"
    ):
        made().save(tmp_path / "c.json")


def test_a_figure_shows_the_concept_among_random_ones(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    read, used = made().plot().axes
    assert read.lines[0].get_xdata()[0] == 0.93 and used.lines[0].get_xdata()[0] == 0.4
    assert sum(bar.get_height() for bar in used.patches) == 40
    assert "used by gravel" in used.get_xlabel() and "(p = 0.049)" in used.get_xlabel()
    assert len(made(**WITHOUT).plot().axes) == 1
    assert made().save(tmp_path / "c.png").read_bytes().startswith(b"\x89PNG")
