"""Build an atlas from images: all steps, in order."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass, field, replace
from pathlib import Path

from phosphene.atlas.atlas import Atlas
from phosphene.atlas.icons import IconSettings, draw_icons
from phosphene.atlas.map_steps import ChartSettings, chart
from phosphene.atlas.patches import PatchSettings, gather_patches
from phosphene.atlas.points import collect
from phosphene.backend import Network
from phosphene.data.declaration import Images, ImagesLike
from phosphene.data.sources import source_of
from phosphene.data.streams import check_on_error
from phosphene.errors import InvalidParameter
from phosphene.kit.arguments import an_executor, chosen, layer_paths, optional_integer
from phosphene.kit.checks import a_network, canvas_size, instance, integer, integers, names, seed_of
from phosphene.kit.places import given_path
from phosphene.kit.progress import Progress, check_progress

__all__ = ["BuildSettings", "build"]

Teller = Callable[[Progress], bool | None]


@dataclass(frozen=True)
class BuildSettings:
    """Settings of all steps after the collection of points.

    Attributes
    ----------
    chart : ChartSettings
    icons : IconSettings or None
        None skips the icons.
    patches : PatchSettings or None
        None skips the real image patches.
    """

    chart: ChartSettings = field(default_factory=ChartSettings)
    icons: IconSettings | None = field(default_factory=IconSettings)
    patches: PatchSettings | None = field(default_factory=PatchSettings)

    def __post_init__(self) -> None:
        instance("chart", self.chart, ChartSettings, "ChartSettings", "ChartSettings()")
        for name, kind in (("icons", IconSettings), ("patches", PatchSettings)):
            if getattr(self, name) is not None:
                instance(name, getattr(self, name), kind, f"{kind.__name__}, or None", f"{kind.__name__}()")

    def with_seed(self, seed: int) -> BuildSettings:
        """A copy of these settings with `seed` as the random seed of every step."""
        chart = self.chart
        return replace(
            self,
            chart=replace(
                chart,
                graph=replace(chart.graph, seed=seed),
                layout=replace(chart.layout, seed=seed),
                grid=replace(chart.grid, seed=seed),
                measures=replace(chart.measures, seed=seed),
                labels=replace(chart.labels, seed=seed),
            ),
            icons=self.icons and replace(self.icons, seed=seed),
        )


def build(
    network: Network,
    images: ImagesLike,
    layers: str | Sequence[str],
    out: str | Path,
    *,
    levels: Sequence[int] | None = None,
    positions: int = 1,
    seed: int = 0,
    count: int | None = None,
    texts: Sequence[str] | None = None,
    settings: BuildSettings | None = None,
    executor: Executor | None = None,
    on_error: str = "raise",
    progress: Teller | bool | None = None,
) -> Atlas:
    """Build an activation atlas (Carter et al. 2019): collect, chart, draw icons, gather patches.

    Parameters
    ----------
    network : Network
    images : images
        Anything that `phosphene.images` takes. Images are read twice, so an iterator is accepted only without patches.
    layers : str or sequence of str
        Layers in the order of the network. The layout of each starts from that of the layer before it.
    out : str or Path
        Folder of the atlas. An interrupted run resumes when it is called again, with the same result.
    levels : sequence of int, optional
        Cells per side of each level, coarse to fine, such as (10, 20, 40) (default: as many levels as the number of points
        allows; see `GridSettings`).
    positions : int, default 1
        Positions per image.
    seed : int, default 0
        Random seed of all steps.
    count : int, optional
        See `phosphene.activations`.
    texts : sequence of str, optional
        Your own labels, one per image, in addition to the network's classes.
    settings : BuildSettings, optional
        Settings of all steps; `levels` and `seed` take precedence.
    executor : concurrent.futures.Executor, optional
        Reads images and computes shards of icons in parallel.
    on_error : "raise" or "skip", default "raise"
        What to do about files that cannot be read.
    progress : callable or bool, optional
        See `phosphene.render`. If it stops the run, finished steps are kept and the next call resumes.

    Returns
    -------
    Atlas

    Raises
    ------
    UnknownLayer, InvalidParameter
        For an unknown layer, a layer whose activation is constant, too few points, and invalid parameters.
    InvalidImages, CorruptFile
        For images of the wrong shape, dtype or range, and for files that cannot be read.
    OtherStore
        When `out` holds an atlas of another model, other data or other settings.
    UnwritablePath
        When `out` cannot be written.
    MissingDependency
        When scikit-learn or umap-learn is not installed.
    """
    layer_paths(a_network(network), layers)
    seed, positions = seed_of(seed), integer("positions", positions, minimum=1)
    settings = chosen("settings", settings, BuildSettings).with_seed(seed)
    count = optional_integer("count", count, minimum=1)
    an_executor(executor)
    check_on_error(on_error)
    check_progress(progress)
    out = given_path(out, "out")
    if texts is not None:
        texts = names("texts", texts, fix="Give a list of words, one per image.")
    if levels is not None:
        grid = replace(settings.chart.grid, levels=integers("levels", levels, minimum=1))
        settings = replace(settings, chart=replace(settings.chart, grid=grid))
    spec = network.input
    given = images.given if isinstance(images, Images) else images
    if isinstance(given, Iterator) and settings.patches is not None:
        raise InvalidParameter(
            "images",
            allowed="images that can be read twice, since patches are cut at the end",
            received=images,
            fix="Pass a list, a folder or a sequence, or settings=BuildSettings(patches=None).",
        )
    if settings.icons is not None:
        canvas_size(network, settings.icons.size)
    source = source_of(images, spec, count=count)
    watch = Watch(progress)
    store = collect(
        network,
        source,
        layers,
        out,
        positions=positions,
        seed=seed,
        executor=executor,
        on_error=on_error,
        progress=watch.progress,
    )
    atlas = Atlas.open(out)
    if watch.stopped or not store.complete:
        return atlas
    chart(atlas, settings=settings.chart, texts=texts, progress=watch.progress)
    for layer in atlas.layers:
        if settings.icons is not None and not watch.stopped:
            draw_icons(atlas, network, layer, settings.icons, executor=executor, progress=watch.progress)
    for layer in atlas.layers:
        if settings.patches is not None and not watch.stopped:
            gather_patches(atlas, network, source, layer, settings.patches, executor=executor, progress=watch.progress)
    return atlas


class Watch:
    """Remembers that the user's progress callback stopped a step, so that the next step does not start.

    Parameters
    ----------
    progress : callable, bool or None
        The user's argument.
    """

    def __init__(self, progress: Teller | bool | None) -> None:
        self.stopped = False
        self.progress: Teller | bool | None = self._told(progress) if callable(progress) else progress

    def _told(self, tell: Teller) -> Teller:
        def telling(state: Progress) -> bool | None:
            going = tell(state)
            self.stopped = self.stopped or going is False
            return going

        return telling
