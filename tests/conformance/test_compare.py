"""Networks side by side: alignment against a slow oracle, planted permutations, both frameworks in one call, and bad input."""

from __future__ import annotations

import json
import re
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

import phosphene as ph
from columns import OUTPUT_AXIS
from phosphene import errors
from phosphene.backend import Network
from phosphene.comparison import cka, compare
from phosphene.comparison.layer_vectors import BLOCK, blocks, default_layers, sources_for
from phosphene.comparison.result import Comparison
from phosphene.comparison.similarity import Alignment, Correlation, centred_gram, matched
from phosphene.data import Crops
from small_models import small_network

CROPS = Crops(48, seed=3)
Load = Callable[..., Network]


def features(count: int, channels: int, seed: int = 0) -> NDArray[np.float64]:
    return np.random.default_rng(seed).standard_normal((count, channels))


def slow_criterion(one: NDArray[np.float64], other: NDArray[np.float64]) -> float:
    """The estimator of Song et al. 2012, equation 5, as a mean over all choices of four different images."""
    k, m = one @ one.T, other @ other.T
    n = len(k)
    total = count = 0.0
    for i in range(n):
        for j in {*range(n)} - {i}:
            for q in {*range(n)} - {i, j}:
                for r in {*range(n)} - {i, j, q}:
                    total += k[i, j] * (m[i, j] + m[q, r] - 2 * m[i, q])
                    count += 1
    return total / count


def slow_cka(one: NDArray[np.float64], other: NDArray[np.float64]) -> float:
    own = slow_criterion(one, one) * slow_criterion(other, other)
    return slow_criterion(one, other) / float(np.sqrt(own))


def permuted(network: Network, layer: str, order: NDArray[np.int64]) -> Network:
    """The network with the channels of a specimen's stage in another order, to be read there and no further."""

    def change(path: str, array: Any) -> Any:
        if not path.startswith((f"{layer}.conv2", f"{layer}.norm2", f"{layer}.project")) or np.ndim(array) == 0:
            return array
        return np.take(np.asarray(array), order, axis=OUTPUT_AXIS[network.backend.name])

    return network.with_weights(change)


def test_alignment_is_that_of_a_slow_oracle() -> None:
    one = features(9, 3)
    for other in (features(9, 5, 1), np.tanh(one @ features(3, 4, 2)) + 7.0):
        assert cka(one, other) == pytest.approx(slow_cka(one, other), abs=1e-12)


def test_alignment_knows_no_rotation_scale_or_offset() -> None:
    one = features(60, 12)
    turned = np.linalg.qr(features(12, 12, 1))[0]
    assert cka(one, one) == pytest.approx(1.0)
    assert cka(one, 1e3 * one @ turned + 1e4) == pytest.approx(1.0, abs=1e-9)
    other = np.concatenate([one[:, :6], features(60, 6, 2)], axis=1)
    assert cka(1e-4 * one @ turned - 1, other) == pytest.approx(cka(one, other), abs=1e-6)
    assert 0.1 < cka(one, other) < 0.9


def test_independent_features_are_unrelated_also_with_more_channels_than_images() -> None:
    found = [cka(features(24, 200, seed), features(24, 300, seed + 100)) for seed in range(20)]
    assert abs(np.mean(found)) < 0.02 and max(map(abs, found)) < 0.15

    def plain(one: NDArray[np.float64], other: NDArray[np.float64]) -> float:
        a, b = one - one.mean(0), other - other.mean(0)
        norms = np.linalg.norm(a @ a.T) * np.linalg.norm(b @ b.T)
        return float(np.linalg.norm(a.T @ b) ** 2 / norms)

    assert plain(features(24, 200), features(24, 300, 100)) > 0.8  # what the debiased one is there for


def test_blocks_leave_the_alignment_of_all_images() -> None:
    one = features(2000, 20)
    other = 0.6 * one @ features(20, 16, 1) / 4 + features(2000, 16, 2)
    sums = Alignment.zeros(1, 1)
    for start in range(0, 2000, 250):
        part = slice(start, start + 250)
        sums.update(centred_gram(one[part])[None], centred_gram(other[part])[None])
    assert sums.matrix()[0, 0] == pytest.approx(cka(one, other), abs=0.01)


def test_what_never_changes_is_aligned_with_nothing() -> None:
    assert np.isnan(cka(np.full((20, 3), 0.1), features(20, 4)))
    with pytest.raises(
        errors.InvalidParameter,
        match=r"other: expected arrays of shapes \(N, A\) and \(N, B\) with the same N",
    ):
        cka(features(20, 3), features(19, 3))


def test_channels_are_matched_by_their_correlation() -> None:
    one = features(300, 10) * 0.01 + 50.0
    order = np.random.default_rng(1).permutation(10)
    other = -3.0 + 20 * one[:, order] + 0.02 * features(300, 10, 2)
    one[:, 4] = 0.7  # a dead channel has no partner
    running = Correlation()
    for start in (0, 100, 200):
        running.update(one[start : start + 100], other[start : start + 100])
    wanted = np.corrcoef(np.delete(one, 4, axis=1).T, other.T)[:9, 9:]
    np.testing.assert_allclose(np.delete(running.matrix(), 4, axis=0), wanted, atol=1e-7)
    assert np.all(running.matrix()[4] == 0)
    pairs, values = matched(running.matrix())
    assert {int(order[b]): int(a) for a, b in pairs} == {channel: channel for channel in range(10) if channel != 4}
    assert np.all(np.diff(values) <= 0) and values[-1] > 0.99


def test_a_planted_permutation_is_found(costly_specimen: Network) -> None:
    order = np.random.default_rng(5).permutation(64)
    other = permuted(costly_specimen, "stage2", order)
    found = compare(
        [costly_specimen, other], images=CROPS, layers=["stage2", "stage2"], units=1, steps=2, size=32, progress=False
    )
    assert found.similarity[0, 1][0, 0] == pytest.approx(1.0, abs=1e-6)
    alive = found.matches[found.correlations > 0.9999]
    assert len(alive) >= 60
    np.testing.assert_array_equal(order[alive[:, 1]], alive[:, 0])
    assert "CKA of the layers 1.00" in found.plot().subfigs[-1].subfigs[-1].axes[0].get_title()


def test_a_layer_that_never_changes_is_shown_as_such(tmp_path: Path) -> None:
    matrix = np.array([[np.nan, np.nan], [0.25, -0.03]])
    found = Comparison(("a", "<b>"), similarity={(0, 1): matrix}, layers=(("dead", "x"), ("y", "z")), images=20)
    assert "x     is nearest to y (0.250)" in repr(found) and len(found) == 2
    assert "dead  is the same for all images" in repr(found)
    page = found.save(tmp_path / "c.html").read_text()
    assert page.count(">–</td>") == 2 and "−0.03</td>" in page and "<b>, side" not in page
    texts = [text.get_text() for text in found.plot().subfigs[0].subfigs[0].axes[0].texts]
    assert texts == ["–", "–", "0.25", "−0.03"]


def test_a_network_beside_itself(specimen: Network) -> None:
    found = compare([specimen, specimen, specimen], images=CROPS, progress=False)
    assert found.names == tuple(f"specimen {number}" for number in (1, 2, 3))
    assert set(found.similarity) == {(0, 1), (0, 2)} and found.renders == () and found.images == 48
    assert found.layers[0] == ("stem", "stage1", "stage2", "stage3", "head")
    for matrix in found.similarity.values():
        np.testing.assert_allclose(np.diag(matrix), 1.0, atol=1e-9)
        assert matrix[0, 4] < 0.6


def test_both_frameworks_in_one_call(load: Load, tmp_path: Path) -> None:
    networks = [load("specimen", "torch"), load("specimen", "jax")]
    layers = ["stem", "stage1", "stage2", "stage3"]
    given: dict[str, Any] = {"layers": [layers, layers], "units": 2, "steps": 4, "size": 32, "progress": False}
    found = compare(networks, ph.channel("stage3", 5), images=CROPS, **given)
    assert found.names == ("specimen (torch)", "specimen (jax)")
    assert np.diag(found.similarity[0, 1]).min() > 0.999
    np.testing.assert_array_equal(found.matches[:, 0], found.matches[:, 1])
    assert found.correlations.min() > 0.999 and len(found.matches) > 100
    assert found.rows[0] == "stage3 : 5" and found.rows[1] == f"stage3 : {found.matches[0, 0]}\ncorrelation 1.00"
    assert [len(renders) for renders in found.renders] == [3, 3]
    np.testing.assert_allclose(found.renders[0].values, found.renders[1].values, rtol=1e-2)
    assert "specimen (torch) with specimen (jax)" in repr(found)
    json.dumps(found.settings)
    _check_page(found, tmp_path)


def _check_page(found: Comparison, folder: Path) -> None:
    """The page loads nothing, says everything in words, and the figures are drawn."""
    page = found.save(folder / "c.html").read_text()
    assert not re.search(r"(?:src|href)=\"(?!data:)|https?://|url\(|@import", page)
    assert page.count("<img ") == len(found.rows) * len(found.names) and 'alt=""' not in page
    assert page.count('alt="what activates ') == page.count("<img ")
    assert "1.00</td>" in page and "specimen (jax)" in page
    assert found.save(folder / "c.png").read_bytes().startswith(b"\x89PNG")
    assert found.save(folder / "c.svg").read_text().startswith("<?xml")
    assert found._repr_png_().startswith(b"\x89PNG")
    with pytest.raises(errors.InvalidParameter, match=r"\.png, \.svg or \.pdf"):
        found.save(folder / "c.xls")


def test_other_widths_and_pictures_of_the_same_class(load: Load) -> None:
    specimen, witness = load("specimen", "torch"), load("specimen-witness", "torch")
    found = compare([specimen, witness], ["coins", "retina"], images=Crops(90, seed=4), steps=48, progress=False)
    assert found.names == ("specimen", "specimen-witness")
    matrix = found.similarity[0, 1]
    assert matrix.shape == (5, 5) and np.all(matrix.argmax(axis=1) == np.arange(5)) and np.diag(matrix).min() > 0.8
    classes = [specimen.classes.index(name) for name in found.rows] if specimen.classes else []
    for network, other in ((specimen, found.renders[1]), (witness, found.renders[0])):
        logits = ph.activations(network, other.images, "output")["output"]
        assert logits.argmax(axis=1).tolist() == classes


def test_all_see_the_same_images_at_their_own_size(backend: str, tmp_path: Path) -> None:
    small, large = (ph.wrap(small_network(backend), size=size, name=f"of {size}") for size in (16, 32))
    for images in ("photos:12", Crops(12, size=32).images(), Crops(12, size=24)):
        sources = sources_for(images, [small, large])
        read = [next(blocks(net, source, ["conv"]))[0] for net, source in zip((small, large), sources, strict=True)]
        assert [vectors.shape for vectors in read] == [(12, 8), (12, 8)]
        np.testing.assert_allclose(read[0], read[1], atol=0.12)
        assert compare([small, large], images=images, layers=["conv", "conv"], progress=False).similarity[0, 1] > 0.97
    from PIL import Image

    for number, image in enumerate(Crops(8, size=48).images()):
        Image.fromarray(np.round(255 * image).astype(np.uint8)).save(tmp_path / f"{number}.png")
    assert compare([small, large], images=tmp_path, layers=["conv", "conv"], progress=False).similarity[0, 1] > 0.97


def test_many_images_come_in_blocks_of_about_one_length(backend: str) -> None:
    network = ph.wrap(small_network(backend), size=8)
    images = np.random.default_rng(0).random((BLOCK + 9, 8, 8, 3)).astype(np.float32)
    parts = list(blocks(network, sources_for(images, [network, network])[0], ["conv", "drop", "conv"]))
    assert [len(part[0]) for part in parts] == [133, 132]
    read = ph.activations(network, images, ["conv", "drop"])
    np.testing.assert_allclose(np.concatenate([part[2] for part in parts]), read["conv"].mean((1, 2)), atol=1e-5)
    np.testing.assert_allclose(np.concatenate([part[1] for part in parts]), read["drop"], atol=1e-5)


def test_layers_are_chosen_to_cover_the_way(specimen: Network, backend: str) -> None:
    assert default_layers(specimen) == ("stem", "stage1", "stage2", "stage3", "head")
    if backend == "torch":
        import torch
        from torch import nn

        deep = nn.Sequential(
            nn.Conv2d(3, 4, 1), nn.Sequential(*(nn.Sequential(nn.Conv2d(4, 4, 1), nn.ReLU()) for _ in range(20)))
        )
        torch.manual_seed(0)
        chosen = default_layers(ph.wrap(deep.eval(), size=8))
        assert len(chosen) == 12 and chosen[0] == "0" and sum(path.startswith("1.") for path in chosen) >= 10


def test_progress_is_told_and_can_stop(load: Load) -> None:
    networks = [load("specimen", "torch"), load("specimen-witness", "torch")]
    seen: list[str] = []
    given: dict[str, Any] = {"images": Crops(BLOCK + 50), "layers": ["stem", "stem"], "steps": 2, "size": 32}

    def tell(state: ph.Progress) -> bool:
        seen.append(f"{state.done} of {state.total} {state.unit}")
        return True

    compare(networks, "coins", progress=tell, **given)
    assert seen[:2] == ["153 of 306 images", "306 of 306 images"] and len(seen) >= 4
    stopped = compare(networks, images=given["images"], layers=given["layers"], progress=lambda state: False)
    assert stopped.images == 153 and stopped.similarity[0, 1][0, 0] > 0.8


@pytest.mark.parametrize(
    ("given", "error", "message"),
    [
        (
            {"networks": 1, "targets": "coins"},
            errors.InvalidParameter,
            "networks: expected at least two networks, got 1",
        ),
        ({}, errors.InvalidParameter, "targets: expected targets, images or both, got neither"),
        ({"targets": []}, errors.InvalidParameter, "targets: expected at least one target"),
        ({"targets": "coin"}, errors.UnknownClass, "specimen 1: no class 'coin'.*'coins'"),
        ({"targets": [ph.channel("stage9", 1)]}, errors.UnknownLayer, "no layer 'stage9'"),
        ({"targets": "coins", "bogus": 3}, errors.InvalidParameter, "recipe: expected .*'bogus'"),
        ({"targets": "coins", "units": 2}, errors.InvalidParameter, "images: expected images"),
        ({"targets": "coins", "layers": ["stem", "stem"]}, errors.InvalidParameter, "images: expected images"),
        ({"images": CROPS, "layers": ["stem", "stage9"]}, errors.UnknownLayer, "specimen 2: no layer 'stage9'"),
        (
            {"images": CROPS, "layers": ["stem"]},
            errors.InvalidParameter,
            r"layers: expected 2 items \(one per network\), got 1",
        ),
        (
            {"images": CROPS, "layers": "stem"},
            errors.InvalidParameter,
            "layers: expected a list .*per network, got 'stem'",
        ),
        (
            {"images": CROPS, "layers": ["stem", []]},
            errors.InvalidParameter,
            "specimen 2: layers: expected at least one",
        ),
        (
            {"images": CROPS, "units": 2},
            errors.InvalidParameter,
            "units: expected two networks .*, got 2 networks and no layers",
        ),
        (
            {"images": CROPS, "layers": ["stem", "stem"], "units": 0},
            errors.InvalidParameter,
            "units: expected an integer",
        ),
        ({"images": Crops(7)}, errors.InvalidImages, "images: expected at least 8 images, got 7"),
        ({"images": iter(CROPS)}, errors.InvalidParameter, "images: expected images that can be read once per network"),
        (
            {"images": np.full((9, 64, 64, 3), 2.0, np.float32)},
            errors.InvalidImages,
            "specimen 1: image 0: expected values",
        ),
        ({"images": np.zeros((9, 64, 64, 1), np.float32)}, errors.InvalidImages, "specimen 1: image 0: expected shape"),
    ],
)
def test_bad_input(load: Load, given: dict[str, Any], error: type[Exception], message: str) -> None:
    given = dict(given)
    network = load("specimen", "torch")
    networks = [network] * given.pop("networks", 2)
    with pytest.raises(error, match=message):
        compare(networks, given.pop("targets", None), **{"steps": 2, "size": 32, "progress": False, **given})


def test_the_message_names_the_network_that_lacks_something(load: Load) -> None:
    network = load("specimen", "torch")
    other = ph.wrap(small_network("torch"), size=16, name="five classes")
    with pytest.raises(errors.UnknownClass, match="five classes: no class 15: the network has 5 classes"):
        compare([network, other], 15, steps=2, progress=False)
    with pytest.raises(errors.InvalidParameter, match="networks: expected Network objects, got 'specimen'"):
        compare([network, "specimen"], 3)  # type: ignore[list-item]


def test_a_layer_for_each_network_that_all_of_them_have_is_warned_of(specimen: Network) -> None:
    with pytest.warns(
        errors.ModelWarning,
        match=r"'stage1' of .* and 'stem' of .*\[\['stage1', 'stem'\], ",
    ):
        compare([specimen, specimen], images=CROPS, layers=["stage1", "stem"], progress=False)
    with warnings.catch_warnings():
        warnings.simplefilter("error", errors.ModelWarning)
        compare([specimen, specimen], images=CROPS, layers=[["stage1"], ["stem"]], progress=False)
        compare([specimen, specimen], images=CROPS, layers=["stem", "stem"], progress=False)
