"""Declarations as plain data: they come back as they were, and nothing else does."""

from __future__ import annotations

import contextlib
import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import phosphene as ph
from phosphene import errors
from phosphene.ascent import Plan
from phosphene.objectives.declarations import Channel
from phosphene.rendering.configuration import read_config, save_config
from phosphene.rendering.presets import preset_named, preset_names
from phosphene.rendering.serialization import from_plain, plain_run, read_run, same, to_plain
from phosphene.rendering.serialization.table import GROUPS
from phosphene.rules import Deconvolution, Guided, Redirected

positive = st.floats(1e-6, 1e6, allow_nan=False)
least_zero = st.floats(0.0, 1e6, allow_nan=False)
part = st.floats(0.0, 1.0, allow_nan=False)
below_one = st.floats(0.0, 1.0, exclude_max=True)
pixels = st.integers(0, 64)
names = st.text(st.characters(codec="utf-8"), min_size=1, max_size=20)
channels = st.integers(0, 4095)
places = st.one_of(st.none(), st.just("class"), st.lists(st.integers(0, 63), min_size=1, max_size=2))
finite = st.floats(-1e6, 1e6, allow_nan=False)

schedules = st.one_of(st.none(), st.builds(ph.optimizers.cosine, st.integers(1, 10_000), part))
bounds = st.lists(part, min_size=2, max_size=2, unique=True).map(sorted)
factors = st.lists(positive, min_size=1, max_size=5)
DECLARED: dict[str, st.SearchStrategy[Any]] = {
    "parameterization": st.one_of(
        st.builds(ph.parameterizations.fourier, least_zero, st.booleans(), least_zero, shared=st.floats(0.0, 0.5)),
        st.builds(ph.parameterizations.pixel, least_zero),
        st.builds(ph.parameterizations.pixel, st.floats(0.0, 0.5), uniform=st.just(True)),
        st.builds(ph.parameterizations.maco, least_zero, positive),
    ),
    "transform": st.one_of(
        *(st.builds(make, pixels) for make in (ph.transforms.pad, ph.transforms.jitter, ph.transforms.roll)),
        st.builds(ph.transforms.scale, factors),
        factors.map(lambda values: ph.transforms.scale(min(values), max(values))),
        st.builds(ph.transforms.scale, positive),
        st.builds(ph.transforms.rotate, st.one_of(st.floats(0.0, 180.0), st.lists(finite, min_size=1, max_size=5))),
        st.builds(ph.transforms.flip),
        st.builds(
            ph.transforms.crop, st.floats(0.01, 1.0), st.floats(0.01, 1.0), deviation=least_zero, spread=least_zero
        ),
        st.builds(
            ph.transforms.resize, st.one_of(st.integers(2, 512), st.tuples(st.integers(2, 512), st.integers(2, 512)))
        ),
        st.builds(ph.transforms.noise, least_zero, st.one_of(st.none(), least_zero)),
        st.builds(ph.transforms.colour, least_zero, least_zero, st.integers(1, 13)),
    ),
    "regularizer": st.one_of(
        st.builds(ph.regularizers.total_variation, least_zero, st.sampled_from(["isotropic", "anisotropic"])),
        st.builds(ph.regularizers.l1, least_zero),
        st.builds(ph.regularizers.l2, least_zero),
        st.builds(ph.regularizers.blur, st.floats(0.01, 100.0), st.integers(1, 100)),
        st.builds(ph.regularizers.decay, part),
        bounds.map(lambda pair: ph.regularizers.clip(*pair)),
    ),
    "optimizer": st.one_of(
        st.builds(ph.optimizers.adam, positive, below_one, below_one, positive, schedule=schedules),
        st.builds(
            ph.optimizers.nadam, positive, below_one, below_one, positive, momentum_decay=part, schedule=schedules
        ),
        st.builds(ph.optimizers.sgd, positive, below_one, normalize=st.booleans(), schedule=schedules),
    ),
    "rule": st.sampled_from([None, Guided(), Deconvolution(), Redirected()]),
}
weights = st.dictionaries(channels, st.floats(0.01, 100.0), min_size=1, max_size=9)
vectors = st.lists(finite, min_size=1, max_size=9)
single = st.one_of(
    st.builds(ph.channel, names, channels),
    st.builds(ph.channel, names, channels.map(np.int64)),
    st.builds(ph.neuron, names, channels, places),
    st.builds(ph.logit, st.one_of(channels, names), places),
    st.builds(ph.objectives.layer, names),
    st.builds(ph.direction, names, vectors, at=st.sampled_from(["mean", "centre", (2, 3)]), cosine_power=part),
    st.builds(ph.direction, names, vectors, label=names),
    st.builds(ph.objectives.group, names, weights, at=st.sampled_from(["mean", "centre", (2, 3)])),
    st.builds(
        ph.objectives.spatial, names, vectors.map(lambda values: np.reshape(values, (1, -1, 1))), cosine_power=part
    ),
)
DECLARED["objective"] = st.recursive(
    single,
    lambda inner: st.one_of(
        st.tuples(inner, inner).map(lambda pair: pair[0] + pair[1]),
        st.tuples(inner, inner).map(lambda pair: pair[0] * pair[1]),
        st.tuples(inner, finite).map(lambda pair: pair[1] * pair[0]),
        st.tuples(inner, inner).map(lambda pair: ph.objectives.interpolate(*pair)[2]),
        inner.map(lambda item: -item),
        st.tuples(inner, finite).map(lambda pair: pair[1] - pair[0]),
        st.tuples(inner, positive).map(lambda pair: pair[0] / pair[1] + pair[1]),
    ),
    max_leaves=5,
)


@pytest.mark.parametrize("group", DECLARED)
def test_what_is_written_comes_back(group: str, tmp_path: Path) -> None:
    """Through JSON, as in a picture, and through TOML where a recipe is written there."""

    @settings(deadline=None, max_examples=150)
    @given(DECLARED[group])
    def check(value: Any) -> None:
        data = to_plain(value)
        assert data == "standard" or isinstance(data, str) or data["kind"] != "opaque", data
        again = from_plain(group, json.loads(json.dumps(data)))
        assert same(again, value) and same(value, again)
        assert to_plain(again) == data
        if group != "objective":
            several = group in ("transform", "regularizer")
            save_config(tmp_path / "x.toml", {"recipe": {group + "s" * several: [data] if several else data}})
            found = read_config(tmp_path / "x.toml")["recipe"][group + "s" * several]
            assert same(found[0] if several else found, "standard" if group == "rule" and value is None else value)

    check()


def test_every_kind_of_the_table_is_tried() -> None:
    tried = "fourier pixel maco pad jitter scale rotate flip crop resize noise roll colour total_variation l1 l2 blur decay clip"
    tried += " adam nadam sgd cosine channel neuron logit layer number direction group spatial"
    assert sorted(kind.name for kinds in GROUPS.values() for kind in kinds) == sorted(tried.split())


@pytest.mark.parametrize("preset", preset_names())
def test_every_preset_can_be_written(preset: str) -> None:
    recipe = preset_named(preset, (48, 40), (64, 64))
    data = plain_run(
        [ph.logit(0)],
        recipe,
        Plan(steps=recipe.steps),
        preset=preset,
        canvas=(48, 40),
        seed=3,
        crop=True,
        start=False,
        widths=[1],
    )
    run = read_run(json.loads(json.dumps(data)), "run")
    for part in ("parameterization", "optimizer"):
        assert same(run.options[part], getattr(recipe, part))
    for part in ("transforms", "regularizers"):
        assert same(tuple(run.options[part]), getattr(recipe, part))
    assert run.options["size"] == (48, 40) and run.options["steps"] == recipe.steps


class Other(Channel):
    """A class of somebody else's that looks like one of ours."""


def noisy(xp: Any, activations: Any) -> Any:
    return activations["stage1"].sum()


@pytest.mark.parametrize(
    ("group", "value", "instead"),
    [
        ("objective", ph.objective(noisy), "give it to ph.render"),
        ("objective", ph.channel("a", 1) + ph.objective(noisy), "give it to ph.render"),
        ("objective", ph.objectives.match("a", np.zeros((2, 2, 3))), "ph.invert"),
        ("objective", Other("a", 1), "give it to ph.render"),
        ("objective", ph.objectives.diverse(ph.channel("a", 1), 2, "b")[0], "give it to ph.render"),
        ("objective", ph.direction("a", [1.0, math.nan]), "give it to ph.render"),
        ("objective", ph.direction("a", np.ones(20_001)), "give it to ph.render"),
        (
            "parameterization",
            ph.parameterizations.fourier(
                statistics=ph.parameterizations.image_statistics(np.random.default_rng(0).random((2, 8, 8, 3)))
            ),
            "parameterization=",
        ),
        ("parameterization", ph.parameterizations.perturbation(np.zeros((8, 8, 3)), 1.0), "parameterization="),
        (
            "parameterization",
            ph.parameterizations.parameterization(lambda r, c: r, lambda x, p, c: p),
            "parameterization=",
        ),
        ("optimizer", ph.optimizers.adam(schedule=lambda xp, clock: clock), "optimizer="),
        ("optimizer", object(), "ph.optimizers.adam"),
        ("rule", lambda xp, x, g, gate: (g, gate), "rule="),
        ("rule", Redirected(2.0), "rule="),
    ],
)
def test_what_cannot_be_written_is_refused_when_it_is_read(group: str, value: Any, instead: str) -> None:
    data = json.loads(json.dumps(to_plain(value)))
    assert data["kind"] == "opaque" and set(data) == {"kind", "repr"} and len(data["repr"]) <= 200
    with pytest.raises(errors.InvalidParameter, match="something that can be written down") as caught:
        from_plain(group, data)
    assert instead in str(caught.value)


def nested(depth: int) -> Any:
    data: Any = {"kind": "layer", "layer": "a"}
    for _ in range(depth):
        data = {"kind": "sum", "terms": [data], "weights": [1.0]}
    return data


@pytest.mark.parametrize(
    ("group", "data", "message"),
    [
        ("parameterization", {"kind": "fourrier"}, r"parameterization.kind: .*Did you mean 'fourier'"),
        ("parameterization", {"kind": "fourier", "decai": 1}, r"parameterization.decai: .*Did you mean 'decay'"),
        ("parameterization", {"kind": "fourier", "decay": "1"}, r"parameterization.decay: expected a number"),
        ("parameterization", {"kind": "fourier", "decay": True}, "expected a number"),
        ("parameterization", {"kind": "fourier", "decay": math.nan}, "expected a number"),
        (
            "parameterization",
            {"kind": "fourier", "decay": -1},
            "parameterization.decay: expected a number of at least 0",
        ),
        ("parameterization", {"kind": "fourier", "statistics": []}, "parameterization.statistics"),
        ("parameterization", {"kind": "os.system", "command": "x"}, "parameterization.kind: expected one of fourier"),
        ("parameterization", {"kind": ["fourier"]}, "parameterization.kind"),
        ("parameterization", {"kind": 10**5000}, "parameterization.kind"),
        ("parameterization", {"decay": 1.0}, "a kind of parameterization"),
        ("parameterization", None, "a kind of parameterization"),
        ("parameterization", {"kind": "sum", "terms": [], "weights": []}, "parameterization.kind"),
        ("transform", {"kind": "jitter"}, "transform.pixels: expected a value"),
        ("transform", {"kind": "jitter", "pixels": 10**30}, "transform.pixels: expected an integer from 0 to 4096"),
        ("transform", {"kind": "jitter", "pixels": 10**5000}, "an integer of more than 256 bits"),
        ("transform", {"kind": "jitter", "pixels": 1.5}, "an integer"),
        ("transform", {"kind": "flip", "often": 1}, "no further keys"),
        ("transform", {"kind": "scale", "low": []}, "positive factors"),
        ("transform", {"kind": "scale", "low": [1.0] * 10_001}, "a list of 0 to 10000 items"),
        ("transform", {"kind": "scale", "low": [1.0], "high": 10**400}, "a number within"),
        ("transform", {"kind": "resize", "size": [2, 2, 2]}, "a list of 2 items"),
        ("transform", {"kind": "colour", "gain": 0, "shift": 0, "channels": 10**9}, "from 1 to 1024"),
        ("regularizer", {"kind": "blur", "sigma": 1e8}, "at most 1000 pixels"),
        ("regularizer", {"kind": "total_variation", "weight": 1, "form": "round"}, "'isotropic' or 'anisotropic'"),
        ("optimizer", {"kind": "adam", "schedule": {"kind": "cosin", "steps": 3}}, "optimizer.schedule.kind"),
        ("optimizer", {"kind": "adam", "schedule": "__import__('os')"}, "optimizer.schedule.kind"),
        ("optimizer", {"kind": "sgd"}, "optimizer.learning_rate: expected a value"),
        ("rule", "guide", "Did you mean 'guided'"),
        ("rule", {"kind": "guided"}, "rule: expected one of standard"),
        ("objective", {"kind": "chanel", "layer": "a", "channel": 1}, "Did you mean 'channel'"),
        ("objective", {"kind": "channel", "layer": "a" * 2000, "channel": 1}, "a text of 1 to 1000"),
        ("objective", {"kind": "sum", "terms": [], "weights": []}, "a list of 1 to 10000 items"),
        ("objective", {"kind": "sum", "terms": [nested(0)], "weights": [1, 2]}, "objective.weights"),
        ("objective", {"kind": "product", "left": nested(0)}, "objective.right"),
        ("objective", {"kind": "direction", "layer": "a", "vector": [[1.0], [1.0]]}, r"objective.vector"),
        ("objective", {"kind": "spatial", "layer": "a", "pattern": [[[1.0], [1.0, 2.0]]]}, "objective.pattern"),
        ("objective", {"kind": "group", "layer": "a", "channels": [1, 1], "weights": [1, 1]}, "objective.channels"),
        ("objective", nested(100_000), "nested less than 40 levels deep"),
    ],
)
def test_what_is_not_of_the_table_is_refused(group: str, data: Any, message: str) -> None:
    with pytest.raises(errors.InvalidParameter, match=message):
        from_plain(group, data)


JSON = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=5)),
    lambda inner: st.one_of(
        st.lists(inner, max_size=3),
        st.dictionaries(
            st.sampled_from(["kind", "low", "terms", "weights", "vector", "layer", "pixels", "schedule"]),
            inner,
            max_size=4,
        ),
    ),
    max_leaves=12,
)


@settings(deadline=None, max_examples=300)
@given(st.sampled_from([*DECLARED, "schedule"]), st.data())
def test_any_data_are_read_or_refused_and_never_anything_else(group: str, data: st.DataObject) -> None:
    kinds = list(GROUPS.get(group, ()))
    shape: Any = JSON
    if kinds:
        kind = data.draw(st.sampled_from(kinds))
        keys = st.dictionaries(st.sampled_from([*kind.keys, "other"]), JSON, max_size=4)
        shape = st.one_of(JSON, keys.map(lambda found: {**found, "kind": kind.name}))
    with contextlib.suppress(errors.InvalidParameter):
        from_plain(group, data.draw(shape))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[modell]\nname = 'specimen'", r"x.toml: modell: .*Did you mean 'model'"),
        ("[run]\nstep = 3", r"x.toml: run.step: .*Did you mean 'steps'"),
        ("[run]\nsteps = '3'", r"x.toml: run.steps: expected an integer from 1 to 100000, got '3'"),
        ("[run]\nsteps = 100001", "run.steps"),
        ("[run]\nsize = 4097", "run.size"),
        ("[run]\npreset = 'lucit'", r"x.toml: run.preset: .*Did you mean 'lucid'"),
        ("[run]\ntargets = 'coins'", "run.targets: expected a list"),
        ("[recipe]\ntransform = []", r"recipe.transform: .*Did you mean 'transforms'"),
        (
            "[recipe]\ntransforms = [{ kind = 'jiter', pixels = 3 }]",
            r"recipe.transforms\[0\].kind: .*Did you mean 'jitter'",
        ),
        ("[recipe]\noptimizer = { kind = 'adam', learning_rate = -1 }", r"x.toml: recipe.optimizer.learning_rate"),
        ("[recipe]\noptimizer = { kind = 'opaque', repr = 'mine' }", r"recipe.optimizer: .*got mine"),
        ("run = 3", "run: expected a table of keys and values"),
        ("[run", "a TOML file"),
        ("[run]\nsteps = nan", "run.steps"),
        ("x = " + "[" * 5000 + "]" * 5000, "x.toml"),
    ],
)
def test_a_bad_file_is_refused_by_name(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "x.toml").write_text(text)
    with pytest.raises(errors.InvalidParameter, match=message):
        read_config(tmp_path / "x.toml")


def test_a_run_is_written_and_read(tmp_path: Path) -> None:
    model = {"name": 'a "b"\\\n\x7f\u00e9', "backend": None}
    run = {"targets": ["coins", "stage3:0-15"] * 9, "size": (32, 40), "seed": 2**70, "crop": False}
    save_config(
        tmp_path / "x.toml",
        {"model": model, "run": run, "recipe": {"transforms": ["flip", {"kind": "roll", "pixels": 2}]}},
    )
    found = read_config(tmp_path / "x.toml")
    assert found["model"] == {"name": model["name"]} and found["run"] == run
    assert found["recipe"] == {"transforms": [ph.transforms.flip(), ph.transforms.roll(2)]}
    with pytest.raises(errors.InvalidParameter, match=r"ends in \.toml"):
        save_config(tmp_path / "x.json", {})
    with pytest.raises(errors.InvalidParameter, match=r"run\.stepps"):
        save_config(tmp_path / "y.toml", {"run": {"stepps": 3}})
    assert [item.name for item in tmp_path.iterdir()] == ["x.toml"]
    (tmp_path / "y.toml").write_bytes(b"\xff\xfe")
    with pytest.raises(errors.InvalidParameter, match="a TOML file"):
        read_config(tmp_path / "y.toml")
    with pytest.raises(FileNotFoundError):
        read_config(tmp_path / "z.toml")
