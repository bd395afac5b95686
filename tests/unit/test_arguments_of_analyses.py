"""Arguments of analyses and of the methods of results: types before values, all of them before any pass through the network."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import phosphene as ph
from phosphene.atlas import BuildSettings, GridSettings, class_map, collect
from phosphene.backend import Network
from phosphene.errors import InvalidParameter, UnknownItem, UnknownLayer
from phosphene.receptive_field import receptive_field
from phosphene.store import ArraySpec, Manifest, Store
from phosphene.trust import Thresholds
from result_instances import every_result, small_renders
from small_atlases import small_atlas
from small_models import small_network

IMAGES = np.random.default_rng(0).random((8, 16, 16, 3)).astype(np.float32)


class Run(Exception):
    """The model was run."""


def armed(backend: str) -> Network:
    """A network that raises when it is run."""
    live: list[bool] = []

    def bomb(x: Any) -> Any:
        if live:
            raise Run
        return x

    network = ph.wrap(small_network(backend, bomb=bomb), size=(16, 16))
    live.append(True)
    return network


WRONG: list[tuple[str, Callable[[Network], Any]]] = [
    ("steps", lambda net: ph.attribute(net, IMAGES, 0, method="integrated_gradients", steps=2.5)),
    ("steps", lambda net: ph.attribute(net, IMAGES, 0, method="integrated_gradients", steps=10**9)),
    ("samples", lambda net: ph.attribute(net, IMAGES, 0, method="smoothgrad", samples=True)),
    ("deviation", lambda net: ph.attribute(net, IMAGES, 0, method="smoothgrad", deviation="0.1")),
    ("baseline", lambda net: ph.attribute(net, IMAGES, 0, method="occlusion", baseline=[["a"]])),
    ("baseline", lambda net: ph.attribute(net, IMAGES, 0, method="gradient_x_input", baseline=True)),
    ("window", lambda net: ph.attribute(net, IMAGES, 0, method="occlusion", window=2.0)),
    ("stride", lambda net: ph.attribute(net, IMAGES, 0, method="occlusion", stride=object())),
    ("layer", lambda net: ph.attribute(net, IMAGES, 0, method="gradient", layer=b"conv")),
    ("batch", lambda net: ph.activations(net, IMAGES, "drop", batch=np.float64(2))),
    ("dtype", lambda net: ph.activations(net, IMAGES, "drop", dtype="int8")),
    ("layers", lambda net: ph.activations(net, IMAGES, ["drop", 3])),
    ("out", lambda net: ph.activations(net, IMAGES, "drop", out=3)),
    ("executor", lambda net: ph.activations(net, IMAGES, "drop", executor=4)),
    ("top", lambda net: ph.units(net, IMAGES, "drop", top=10**12)),
    ("border", lambda net: ph.units(net, IMAGES, "drop", border="no")),
    ("dimensions", lambda net: ph.embed(net, IMAGES, "drop", dimensions=2.0)),
    ("thumbnails", lambda net: ph.embed(net, IMAGES, "drop", thumbnails=1)),
    ("options", lambda net: ph.embed(net, IMAGES, "drop", method="tsne", perplexty=3)),
    ("labels", lambda net: ph.probe(net, IMAGES, {"a": 1}, "drop")),
    ("layers", lambda net: ph.probe(net, IMAGES, [0, 1] * 4, None, folds=2)),
    ("label", lambda net: ph.concept(net, "drop", IMAGES, IMAGES, label=None)),
    ("trials", lambda net: ph.concept(net, "drop", IMAGES, IMAGES, trials=10**15)),
    ("networks", lambda net: ph.compare({"a": net}, ["coins"])),
    ("layers", lambda net: ph.compare([net, net], images=IMAGES, layers=[["drop"], [b"drop"]])),
    ("units", lambda net: ph.compare([net, net], images=IMAGES, layers=["drop", "drop"], units=True)),
    ("tolerance", lambda net: ph.parity(net, net, IMAGES, tolerance="0.1")),
    ("layers", lambda net: ph.parity(net, net, IMAGES, layers=["drop"])),
    ("channels", lambda net: ph.feature_maps(net, IMAGES, "conv", channels=range(10**12))),
    ("channels", lambda net: ph.feature_maps(net, IMAGES, "conv", channels=[1.9])),
    ("channels", lambda net: ph.feature_maps(net, IMAGES, "conv", channels="12")),
    ("aggregate", lambda net: ph.feature_maps(net, IMAGES, "conv", aggregate=3)),
    ("seed", lambda net: ph.diagnose(net, seed=1.5)),
    ("objectives", lambda net: ph.diagnose(net, range(10**9))),
    ("seeds", lambda net: ph.assess(net, small_renders(), IMAGES, seeds=10**6)),
    ("judge", lambda net: ph.assess(net, small_renders(), IMAGES, judge="me")),
    ("thresholds", lambda net: ph.assess(net, small_renders(), IMAGES, thresholds=(0.5, 0.1))),
    ("renders", lambda net: ph.quiz(net, [small_renders()], IMAGES)),
    ("size", lambda net: receptive_field(net, "drop", (16, True))),
    ("batches", lambda net: ph.bench(net, batches=[0.5])),
    ("rounds", lambda net: ph.bench(net, rounds=10**9)),
    ("attributions", lambda net: collect(net, IMAGES, "drop", "never", attributions="yes")),
    ("settings", lambda net: ph.Atlas.build(net, IMAGES, "drop", "never", settings={"icons": None})),
    ("levels", lambda net: ph.Atlas.build(net, IMAGES, "drop", "never", levels="48")),
]


@pytest.mark.parametrize(("parameter", "call"), WRONG, ids=[f"{row} {name}" for row, (name, _) in enumerate(WRONG)])
def test_arguments_are_checked_before_the_network_is_run(
    parameter: str, call: Callable[[Network], Any], backend: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(InvalidParameter, match=rf"\b{parameter}\b"):
        call(armed(backend))
    assert not list(tmp_path.iterdir())


def test_a_single_item_is_taken_where_a_list_is(backend: str) -> None:
    network = ph.wrap(small_network(backend), size=(16, 16), classes=["a", "b", "c", "d", "e"])
    one, same = (ph.feature_maps(network, IMAGES[:1], "conv", channels=given) for given in (3, [3]))
    assert one.titles == same.titles == ("channel 3",)
    assert ph.feature_maps(network, IMAGES[:1], "conv", aggregate="max").titles == ("maximum",)
    explained = ph.attribute(network, IMAGES[:2], "b", method="gradient")
    assert explained.labels == ph.attribute(network, IMAGES[:2], iter(["b", "b"]), method="gradient").labels
    assert ph.diagnose(network, "conv:0-1").objectives == 2
    assert small_renders().rows(1).labels == small_renders().rows([1]).labels


def test_loops_over_results_end_and_other_indices_are_refused() -> None:
    renders, results = small_renders(), every_result()
    assert [one.labels[0] for one in renders] == list(renders.labels)
    features: Any = results["features"]
    assert len(list(features)) == len(features)
    np.testing.assert_array_equal(features[-1], features[len(features) - 1])
    for result in (renders, features, results["cards"]):
        for index in (True, 1.0, "0", None, np.array([0]), slice(0.5, 2)):
            with pytest.raises(InvalidParameter, match="index"):
                result[index]  # type: ignore[index]
        for index in (len(result), -len(result) - 1, 10**400):  # type: ignore[arg-type]
            with pytest.raises(UnknownItem, match="index"):
                result[index]  # type: ignore[index]
    assert len(renders[np.int64(-1)]) == 1 and len(renders[::2]) == 2


def test_channels_of_units_do_not_count_from_the_end() -> None:
    units: Any = every_result()["units"]
    for channel in (-1, True, 1.5, len(units.density)):
        with pytest.raises(InvalidParameter, match="channel"):
            units.state(channel)
        with pytest.raises(InvalidParameter, match="channel"):
            units.name(channel)


@pytest.mark.parametrize("path", [3, b"a.npz", "", "a\0.npz", "a\ud800.npz", None, ["a.npz"]])
def test_a_path_is_a_string_or_a_path(path: Any, tmp_path: Path) -> None:
    for result in every_result().values():
        for call in (result.save, result.check_path, type(result).load):
            with pytest.raises(InvalidParameter, match="path"):
                call(path)
    for call, name in ((ph.Atlas.open, "path"), (Store.open, "folder")):
        with pytest.raises(InvalidParameter, match=name):
            call(path)


def test_options_that_a_figure_does_not_have_are_named(tmp_path: Path) -> None:
    for name, result in every_result().items():
        if ".png" in result.endings and not isinstance(result, ph.Renders):
            with pytest.raises(InvalidParameter, match="colour: expected"):
                result.save(tmp_path / "figure.png", colour="red")
        assert not list(tmp_path.iterdir()), name


def test_a_store_takes_names_and_numbers_of_what_it_has(tmp_path: Path) -> None:
    manifest = Manifest("activations", 3, 2, {"a": ArraySpec((2,))})
    store = Store.create(tmp_path / "store", manifest)
    rows = np.ones((2, 2), np.float32)
    for shard in (-1, 2, True, 0.0, "0"):
        with pytest.raises(InvalidParameter, match="shard"):
            store.write(shard, {"a": rows})  # type: ignore[arg-type]
    for values in (rows, {}, {"a": None}, {"a": [["x", "y"]] * 2}):
        with pytest.raises(InvalidParameter, match="values"):
            store.write(0, values)  # type: ignore[arg-type]
    with pytest.raises(InvalidParameter, match="kept"):
        store.write(0, {"a": rows}, kept=[2])
    assert store.missing == [0, 1]
    store.write(0, {"a": rows})
    store.write(1, {"a": rows[:1]})
    with pytest.raises(InvalidParameter, match="start"):
        store.read("a", 0.5)  # type: ignore[arg-type]
    np.testing.assert_array_equal(store.read("a", -1), rows[:1])


def test_an_atlas_takes_layers_and_levels_of_its_own(tmp_path: Path) -> None:
    atlas = small_atlas(tmp_path / "atlas")
    for layer in ("x" * 10_000, "a\ud800", 3, None, ["a"]):
        for call in (atlas.activations, atlas.grid, lambda layer: atlas.labels(layer, 4)):
            with pytest.raises(InvalidParameter, match="layer"):
                call(layer)  # type: ignore[operator]
        with pytest.raises(InvalidParameter, match="layer"):
            class_map(atlas, layer, 0)  # type: ignore[arg-type]
    for size in (4.0, True, "4", 10**5000, -4):
        with pytest.raises(InvalidParameter, match="size"):
            atlas.icons("a", size)  # type: ignore[arg-type]
        with pytest.raises(InvalidParameter, match="size"):
            atlas.report(tmp_path / "report.html", size=size)  # type: ignore[arg-type]
    assert not (tmp_path / "report.html").exists()


@pytest.mark.parametrize(
    ("parameter", "given"),
    [
        ("activations", {"activations": {3: IMAGES}}),
        ("activations", {"activations": {}}),
        ("activations", {"activations": {"a": [["x"]]}}),
        ("images", {"images": [0.5, 1.5]}),
        ("images", {"images": [0, -1]}),
        ("classes", {"classes": [1, 2], "logits": np.ones((2, 2))}),
        ("attributions", {"attributions": np.ones((2, 2))}),
        ("out", {"out": None}),
    ],
)
def test_activations_from_elsewhere_are_checked(parameter: str, given: dict[str, Any], tmp_path: Path) -> None:
    plain = {"activations": {"a": np.ones((2, 3))}, "out": tmp_path / "atlas"}
    with pytest.raises(InvalidParameter, match=parameter):
        ph.Atlas.from_activations(**{**plain, **given})
    assert not list(tmp_path.iterdir())


def test_settings_take_each_others_classes_only() -> None:
    with pytest.raises(InvalidParameter, match="icons"):
        BuildSettings(icons=GridSettings())  # type: ignore[arg-type]
    with pytest.raises(InvalidParameter, match="chart"):
        BuildSettings(chart=None)  # type: ignore[arg-type]
    assert GridSettings(levels=[4, 8]).levels == (4, 8)  # type: ignore[arg-type]
    for limits in (0.5, (0.5,), (0.5, "a"), (True, False)):
        with pytest.raises(InvalidParameter, match="kept"):
            Thresholds(kept=limits)  # type: ignore[arg-type]


def test_a_judge_of_the_users_is_checked() -> None:
    network = ph.wrap(small_network("torch"), size=(16, 16))
    pictures = ph.render(network, [ph.channel("conv", 0)], steps=2, warm_up=0, progress=False)
    images = np.random.default_rng(0).random((20, 16, 16, 3)).astype(np.float32)
    for judge in (lambda one, other: None, lambda one, other: np.ones(3), lambda one: 1, lambda one, other: 1 // 0):
        with pytest.raises(InvalidParameter, match="judge"):
            ph.assess(network, pictures, images, seeds=1, draws=1, judge=judge, progress=False)  # type: ignore[arg-type]


def test_a_layer_is_a_string(backend: str) -> None:
    network = ph.wrap(small_network(backend), size=(16, 16))
    with pytest.raises(UnknownLayer, match="layer"):
        ph.units(network, IMAGES, ["conv"])  # type: ignore[arg-type]
    assert network.layers.last(["head", "conv"]) == "head"
    with pytest.raises(InvalidParameter, match="paths"):
        network.layers.last([])
