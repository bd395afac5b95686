"""Pictures of a layer, and its arrangement of images, on every backend."""

from __future__ import annotations

import itertools
from pathlib import Path

import numpy as np
import pytest

import phosphene as ph
from phosphene import errors
from phosphene.backend import Network
from phosphene.channel_maps.call import feature_maps
from phosphene.data import Crops
from phosphene.embedding.call import embed, probe
from phosphene.embedding.figure import look

CROPS = Crops(72, seed=2)
IMAGES = CROPS.images(0, 2)


def test_maps_are_the_activation(specimen: Network) -> None:
    read = ph.activations(specimen, IMAGES, "stage2")["stage2"]
    some = feature_maps(specimen, IMAGES, "stage2", channels=[3, 1])
    assert some.titles == ("channel 3", "channel 1") and some.maps.shape == (2, 2, 16, 16)
    np.testing.assert_array_equal(some.maps[:, 0], read[..., 3])
    strongest = feature_maps(specimen, IMAGES, "stage2", strongest=3)
    wanted = np.argsort(-read.reshape(-1, 64).mean(0))[:3]
    assert strongest.titles == tuple(f"channel {index}" for index in wanted)
    both = feature_maps(specimen, IMAGES, "stage2", aggregate=("mean", "max"))
    np.testing.assert_allclose(both.maps[:, 0], read.mean(-1), rtol=1e-5)
    np.testing.assert_array_equal(both.maps[:, 1], read.max(-1))
    assert feature_maps(specimen, IMAGES, "stage1").maps.shape == (2, 32, 32, 32)


@pytest.mark.parametrize("ending", [".png", ".svg", ".pdf"])
def test_figures(specimen: Network, tmp_path: Path, ending: str) -> None:
    found = feature_maps(specimen, IMAGES, "stage2.norm2", strongest=3)
    first = found.save(tmp_path / f"a{ending}", over_image=True, shared=False).read_bytes()
    assert first == found.save(tmp_path / f"b{ending}", over_image=True, shared=False).read_bytes()
    figure = found.plot()
    titles = [axis.get_title() for axis in figure.axes]
    assert titles.count("image") == 2 and "channel" in titles[1]
    # Values below zero are drawn about zero, in two colours.
    assert figure.axes[1].images[0].get_clim()[0] == -figure.axes[1].images[0].get_clim()[1]


def test_what_has_no_map_is_said(specimen: Network) -> None:
    with pytest.raises(errors.InvalidParameter, match="layer: expected a layer with positions"):
        feature_maps(specimen, IMAGES, "output")
    with pytest.raises(errors.InvalidParameter, match="channels: expected at least one channel from 0 to 63"):
        feature_maps(specimen, IMAGES, "stage2", channels=[64])
    with pytest.raises(errors.InvalidParameter, match="aggregate: expected 'mean' or 'max'"):
        feature_maps(specimen, IMAGES, "stage2", aggregate="median")


def test_an_embedding_is_seeded_and_says_how_far_to_trust_it(specimen: Network, tmp_path: Path) -> None:
    first, again = (embed(specimen, CROPS, "stage3", method="tsne", seed=3, thumbnails=True) for _ in range(2))
    np.testing.assert_array_equal(first.points, again.points)
    assert first.points.shape == (72, 2) and 0.7 < first.trustworthiness <= 1
    assert first.thumbnails.shape == (72, 28, 28, 3)
    pca = embed(specimen, CROPS, "stage3", dimensions=3)
    vectors = ph.activations(specimen, CROPS.images(), "stage3")["stage3"].mean((1, 2)).astype(np.float64)
    centred = vectors - vectors.mean(0)
    np.testing.assert_allclose(
        np.abs(pca.points[:, 0]), np.abs(centred @ np.linalg.svd(centred)[2][0]), rtol=1e-3, atol=1e-3
    )
    labels = CROPS.labels
    for found, options in ((first, {"thumbnails": True}), (pca, {}), (first, {"names": CROPS.classes})):
        assert found.save(tmp_path / "e.png", labels, **options).read_bytes().startswith(b"\x89PNG")
    assert "trustworthiness" in str(first.plot(labels)._supxlabel.get_text())
    with np.load(first.save(tmp_path / "e.npz", labels)) as archive:
        np.testing.assert_array_equal(archive["points"], first.points)


def test_deeper_layers_tell_classes_apart_better(specimen: Network) -> None:
    crops = Crops(180, seed=2)
    found = probe(specimen, crops, crops.labels, ["stem", "stage3"], folds=3)
    assert found["stage3"][0] > 0.9 and found["stage3"][0] >= found["stem"][0]
    with pytest.raises(errors.InvalidParameter, match=r"labels: expected 180 items \(one per image\)"):
        probe(specimen, crops, np.repeat(np.arange(2), 40), "stem")


def test_two_layers_are_probed_in_one_pass_over_the_images(specimen: Network) -> None:
    crops = Crops(60, seed=2)
    images, labels = crops.images(), np.arange(60) % 2
    expected = probe(specimen, images, labels, ["stem", "stage2"], folds=3)
    assert probe(specimen, (image for image in images), labels, ["stem", "stage2"], folds=3) == expected
    with pytest.raises(errors.InvalidParameter, match=r"labels: expected 50 items \(one per image\)"):
        probe(specimen, (image for image in images[:50]), labels, "stem", folds=3)


def test_embeddings_that_cannot_be(specimen: Network) -> None:
    for call, message in (
        ({"method": "t-sne"}, "method: expected 'pca', 'tsne' or 'umap'"),
        ({"dimensions": 4}, "dimensions: expected an integer from 2 to 3"),
    ):
        with pytest.raises(errors.InvalidParameter, match=message):
            embed(specimen, CROPS, "stage3", **call)  # type: ignore[arg-type]
    with pytest.raises(errors.InvalidParameter, match="labels: expected 72 labels"):
        embed(specimen, CROPS, "stage3").plot([1, 2])


def test_classes_of_an_embedding_are_told_apart() -> None:
    looks = [look(number) for number in range(64)]
    assert len(set(looks)) == 64 and len({colour for colour, _ in looks[:30]}) == 30
    rgb = np.array([[int(colour[place : place + 2], 16) / 255 for place in (1, 3, 5)] for colour, _ in looks[:30]])
    apart = np.linalg.norm(rgb[:, None] - rgb[None], axis=-1) + 9 * np.eye(30)
    assert apart.min() > 0.15
    # Alike in brightness only where the hue or the marker differs, for those who see no colours.
    assert all(one[1] != other[1] for one, other in itertools.pairwise(looks))
