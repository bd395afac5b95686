"""Instances of every class of result, with values that are hard to keep."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

import phosphene as ph
from phosphene.benchmark.result import Benchmark
from phosphene.benchmark.result import Row as Timing
from phosphene.diagnosis.result import Finding
from phosphene.kit.result import Result
from phosphene.port_parity.call import Parity
from phosphene.port_parity.certificate import Row
from phosphene.port_parity.layer_pairs import Unmatched
from small_quizzes import small_quiz

__all__ = ["every_result", "same", "small_renders"]

NAN = float("nan")
RANDOM = np.random.default_rng(0)
SETTINGS = {"seed": 3, "ü": None, "deep": [{"a": [1.5, "x"]}, []], "none": {}, "loss": NAN, "large": 10**30}


def small_renders(channels: int = 3) -> ph.Renders:
    """Three pictures, of which the last was interrupted half way."""
    random = np.random.default_rng(0)
    history = random.random((10, 3))
    history[5:, 2] = np.nan
    return ph.Renders(
        images=random.random((3, 12, 9, channels)).astype(np.float32),
        values=np.array([1.0, 2.5, -3.0]),
        history=history,
        labels=("a", "b <script>", "ü"),
        status=("budget", "converged", "interrupted"),
        steps=np.array([10, 10, 5]),
        awake_at=np.array([0, 2, -1]),
        scores={"cosine": np.array([0.1, 0.2, 0.3])},
        settings={"seed": 3, "recipe": {"steps": 10}},
        seconds=1.5,
    )


def every_result() -> dict[str, Result]:
    """By a name for the test; at least one of each class."""
    pictures = small_renders()
    full = replace(
        pictures,
        values=np.array([np.nan, np.inf, -0.0], np.float32),
        labels=("", "像\n2", "x\0"),
        # Keys that become one name of an entry when they are cleaned.
        scores={"of/the ../ü": np.array([np.nan, 1, 0], np.float16), "of_the_.._ü": np.ones(3), "": np.zeros(3)},
        settings=SETTINGS,
        snapshots=RANDOM.integers(0, 256, (2, 3, 12, 9, 3)).astype(np.uint8),
        opacity=RANDOM.random((3, 12, 9)).astype(np.float32),
        parameters=np.asfortranarray(RANDOM.standard_normal((3, 2, 12, 5))),
    )
    images = RANDOM.random((3, 12, 9, 3)).astype(np.float32)
    attribution = ph.Attribution(
        images=images,
        raw=RANDOM.standard_normal((3, 4, 3)).astype(">f4"),
        maps=RANDOM.random((3, 12, 9)).astype(np.float32),
        values=np.array([1.0, NAN, 2.0]),
        labels=("a", "ü", ""),
        method="gradcam",
        source="Selvaraju et al. 2017",
        signed=False,
        layer="stage3",
        scores={"completeness": np.array([NAN, 0.0, 1.0])},
        curves={"deletion": np.zeros((5, 3)), "insertion": np.zeros((0, 3))},
        sanity={"layer1.0/conv": np.ones(3)},
        settings=SETTINGS,
    )
    units = ph.Units(
        layer="stage3",
        images=20,
        density=np.array([0.0, 0.5, 1.0]),
        on=np.array([0.0, 1.0, 1.0]),
        mean=np.zeros(3),
        deviation=np.ones(3, np.float32),
        largest=np.array([0.0, 2.0, 3.0]),
        top=np.array([[-1, -1], [3, 4], [5, -1]]),
        top_values=np.array([[NAN, NAN], [2, 1], [3, NAN]]),
        patches=RANDOM.random((3, 2, 4, 4, 3)).astype(np.float32),
        twins=((1, 2, 0.99), (0, 2, NAN)),
    )
    embedding = ph.Embedding(
        points=RANDOM.random((5, 2)).astype(np.float32),
        method="tsne",
        source="",
        layer="ü",
        trustworthiness=NAN,
        neighbours=3,
        variance=np.empty(0),
        thumbnails=np.empty((0, 0, 0, 3), np.float32),
        settings=SETTINGS,
    )
    maps = ph.FeatureMaps(images, RANDOM.standard_normal((3, 2, 4, 5)).astype(np.float32), ("channel 0", "ü"), "stage1")
    comparison = ph.Comparison(
        names=("ein Netz", "другая"),
        renders=(pictures, full),
        rows=("a\nb", "ü", ""),
        similarity={(0, 1): np.array([[NAN, 0.5, 1.0], [0.1, 0.2, -0.1]])},
        layers=(("a", "b"), ("c", "d", "e")),
        matches=np.array([[3, 4], [0, 1]]),
        correlations=np.array([0.9, 0.8]),
        images=100,
        settings=SETTINGS,
    )
    features = ph.Features("stage3", "nmf", "", np.eye(2, 3), np.array([1.0, 0.0]), NAN, SETTINGS)
    concept = ph.Concept(
        layer="stage3",
        label="Rädchen",
        vector=np.array([0.6, 0.8]),
        accuracy=0.75,
        accuracy_null=np.linspace(0.4, 0.6, 9),
        p_present=0.1,
        sensitivity=NAN,
        sensitivity_null=np.empty(0),
        p_used=NAN,
        target="",
        counts={"positives": 3, "negatives": 4},
    )
    accentuation = ph.Accentuation(
        photograph=images[0],
        renders=pictures,
        before=0.5,
        change=np.arange(3.0),
        feature_change=np.array([0.0, NAN, 1.0]),
        layer="stage1",
    )
    finding = Finding("dead unit", "stage1 / 3", 2, "it never fires", "Choose another.")
    card = ph.TrustCard(
        label="ü",
        word="not judged",
        reason="too few images",
        picture=images[0],
        clean=1.0,
        robust=NAN,
        rank=1,
        units=16,
        strongest=images[:2],
        nearest=((3, 0.5), (4, NAN)),
    )
    network = {
        "network": "specimen",
        "backend": "torch",
        "dtype": "float32",
        "fingerprint": "0" * 32,
        "versions": {"a": "1"},
        "range": [0.0, 1.0],
        "mean": [0.5],
        "std": [0.5],
    }
    parity = Parity(
        rows=(
            Row("a", "a", "path", (4, 4, 8), 1e-6, 1e-7, 1.0, None, 0.0, None, (0, 0), True),
            Row("ü", "c", "name", (8,), NAN, 0.2, 0.9, 0.3, None, 1e-8, (0, 3), False, True, None, ("b",)),
        ),
        unmatched=(Unmatched("b", "b", "Dropout", (), "no layer of shape ()"),),
        tolerance=1e-4,
        networks=(network, {**network, "backend": "jax"}),
        images={"count": 5, "shape": [16, 16, 3], "hash": "0"},
        date="2026-01-01T00:00:00+00:00",
    )
    timings = (
        Timing("torch", "cpu", "float32", 2, (0.1, 0.2), 1.0, 2**20),
        Timing("jax", None, None, reason="not installed: ü"),
    )
    benchmark = Benchmark("m", "stage1", (16, 24), 2, 3, timings, {"numpy": "2"}, {"threads": None}, "2026-01-01")
    return {
        "renders": pictures,
        "full renders": full,
        "renders of six channels": small_renders(6),
        "no renders": full[:0],
        "attribution": attribution,
        "attribution of gradients": replace(attribution, raw=-images, signed=True, layer=None, curves={}),
        "units": units,
        "units without images": replace(
            units,
            top=np.empty((3, 0), np.int64),
            top_values=np.empty((3, 0)),
            patches=np.empty((3, 0, 4, 4, 3)),
            twins=(),
        ),
        "embedding": embedding,
        "embedding with thumbnails": replace(embedding, method="pca", variance=np.array([0.6, 0.4]), thumbnails=images),
        "maps": maps,
        "signals": replace(maps, maps=np.zeros((3, 2, 7), np.float32), aggregated=True),
        "comparison": comparison,
        "comparison of layers alone": replace(comparison, renders=(), rows=()),
        "comparison of pictures alone": ph.Comparison(names=("a", "b"), renders=(pictures, full), rows=("a", "b", "c")),
        "features": features,
        "no features": replace(features, vectors=np.empty((0, 3)), strength=np.empty(0)),
        "concept": concept,
        "used concept": replace(
            concept, target="ü", sensitivity=0.5, sensitivity_null=np.linspace(-1, 1, 9), p_used=0.1
        ),
        "accentuation": accentuation,
        "crossing": replace(accentuation, threshold=1.5, smallest=images[1], smallest_change=0.25),
        "diagnosis": ph.Diagnosis("specimen", (finding, replace(finding, where="ü")), 2),
        "sound": ph.Diagnosis("", (), 0),
        "card": card,
        "cards": ph.TrustCards((card, replace(card, word="failed", score=0.25, asked=48)), 1000, SETTINGS),
        "quiz": small_quiz(),
        "parity": parity,
        "benchmark": benchmark,
    }


def same(one: object, other: object) -> bool:
    """Whether two values are equal to the bit: types, dtypes, shapes, order, and NaN."""
    if type(one) is not type(other):
        return False
    if isinstance(one, np.ndarray):
        assert isinstance(other, np.ndarray)
        return one.dtype == other.dtype and one.shape == other.shape and one.tobytes() == other.tobytes()
    if isinstance(one, dict):
        assert isinstance(other, dict)
        return list(one) == list(other) and all(same(one[key], other[key]) for key in one)
    if isinstance(one, (tuple, list)):
        assert isinstance(other, (tuple, list))
        return len(one) == len(other) and all(map(same, one, other))
    if isinstance(one, (str, int, float, type(None))):
        return repr(one) == repr(other)
    return same(vars(one), vars(other))
