"""All steps of an atlas in a row, from images to a map with icons, labels and the patches behind its cells."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass, field, replace
from pathlib import Path

from phosphene.activations import ImagesLike
from phosphene.ascent import Progress
from phosphene.atlas.atlas import Atlas
from phosphene.atlas.charting import ChartSettings, chart
from phosphene.atlas.collecting import collect
from phosphene.atlas.icons import IconSettings, draw_icons
from phosphene.atlas.patches import PatchSettings, gather_patches
from phosphene.backend import Network
from phosphene.data.sources import source_of
from phosphene.draws import integer
from phosphene.errors import InvalidParameter
from phosphene.rendering import canvas_size

__all__ = ["BuildSettings", "build"]

Teller = Callable[[Progress], bool | None]


@dataclass(frozen=True)
class BuildSettings:
    """Settings of all steps after the first.

    Attributes
    ----------
    chart : ChartSettings
    icons : IconSettings, optional
        None for an atlas without icons.
    patches : PatchSettings, optional
        None for one without real patches.
    """

    chart: ChartSettings = field(default_factory=ChartSettings)
    icons: IconSettings | None = field(default_factory=IconSettings)
    patches: PatchSettings | None = field(default_factory=PatchSettings)

    def with_seed(self, seed: int) -> BuildSettings:
        """These settings with another seed of all draws."""
        chart = self.chart
        return replace(
            self,
            chart=replace(
                chart, graph=replace(chart.graph, seed=seed), layout=replace(chart.layout, seed=seed),
                grid=replace(chart.grid, seed=seed), measures=replace(chart.measures, seed=seed),
                labels=replace(chart.labels, seed=seed),
            ),
            icons=self.icons and replace(self.icons, seed=seed),
        )  # fmt: skip


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
    images : array-like, path, sequence or iterable
        As of `phosphene.activations`. They are read twice: an iterable that is spent by then is refused.
    layers : str or sequence of str
        In the order of the network. Each one's map starts from that of the layer before.
    out : path
        Folder. A run that was killed goes on when it is called again, and ends equal to one that was not.
    levels : sequence of int, optional
        Cells along a side, coarse to fine, such as (10, 20, 40); as many as there are points for when absent.
    positions : int, default 1
        Positions an image.
    seed : int, default 0
        Of all draws.
    count : int, optional
        As of `phosphene.activations`.
    texts : sequence of str, optional
        One an image: labels of your own beside the network's classes.
    settings : BuildSettings, optional
        Of every step; `levels` and `seed` go before them.
    executor : concurrent.futures.Executor, optional
        Reads images and makes shards of icons side by side.
    on_error : "raise" or "skip", default "raise"
        What a file does that cannot be read.
    progress : callable or bool, optional
        See `phosphene.render`. One that stops leaves what was done, and the next call goes on.

    Returns
    -------
    Atlas

    Raises
    ------
    UnknownLayer, InvalidParameter
        For a layer that is not there or the same everywhere, too few points, and parameters outside what is allowed.
    InvalidImages, CorruptFile
        For images of the wrong shape, dtype or range, and for files that cannot be read.
    OtherStore
        When `out` holds an atlas of another model, other data or other settings.
    UnwritablePath
        When `out` cannot be written.
    MissingDependency
        When scikit-learn or umap-learn is not installed.
    """
    seed = integer("seed", seed)
    settings = (settings or BuildSettings()).with_seed(seed)
    if levels is not None:
        grid = replace(settings.chart.grid, levels=tuple(levels))
        settings = replace(settings, chart=replace(settings.chart, grid=grid))
    spec = network.input
    if isinstance(images, Iterator) and settings.patches is not None:
        raise InvalidParameter(
            "images", allowed="images that can be gone through twice", received=images,
            fix="Hand over a list, a folder or a sequence, or BuildSettings(patches=None): patches are read at the end.",
        )  # fmt: skip
    if settings.icons is not None:
        canvas_size(network, settings.icons.size)
    source = source_of(images, spec.size, spec.channels, count=count)
    watch = Watch(progress)
    store = collect(
        network, source, layers, out, positions=positions, seed=seed, executor=executor, on_error=on_error,
        progress=watch.progress,
    )  # fmt: skip
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
    """Whether a user's progress function has told a step to stop, so that the next does not begin.

    Parameters
    ----------
    progress : callable, bool or None
        What the user gave.
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
