"""Building blocks of figures: grids of axes, images, colour maps, colour bars and names (matplotlib, the extra ``plot``).

Every figure ends with `finished`, which prepares its text: no name is read as markup, and each is drawn in a font that has its
letters. Names that may be too long for their place go through `fitted` first.
"""

from __future__ import annotations

import functools
import io
import math
import unicodedata
import warnings
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from phosphene.errors import MissingDependency, PhospheneWarning
from phosphene.kit.pictures import as_picture
from phosphene.words import FIRST_STRONG, JOINERS, POP, isolated, plain_lines, plain_text, shortened

__all__ = [
    "DIVERGING",
    "GREY",
    "SEQUENTIAL",
    "colour_bar",
    "figure_bytes",
    "figure_class",
    "finished",
    "fitted",
    "grid",
    "legend",
    "show_image",
]

SEQUENTIAL, DIVERGING, GREY = "magma", "PuOr_r", "gray"
"""Perceptually uniform and safe for colour-blind readers; signed values are orange above zero and purple below."""

APART = 0.12
"""Inches between names that stand side by side."""


@functools.cache
def figure_class() -> Any:
    """Return a class of matplotlib's `Figure` that a notebook shows without pyplot: no window, no global state.

    Raises
    ------
    MissingDependency
        When matplotlib is not installed.
    """
    try:
        from matplotlib.figure import Figure
    except ImportError as error:
        raise MissingDependency("matplotlib", "plot") from error

    class ShownFigure(Figure):
        """A figure that is displayed where it is the value of a notebook's cell."""

        def _repr_png_(self) -> bytes:
            return figure_bytes(self, "png")

        def __reduce__(self) -> tuple[Any, ...]:
            return _blank, (), self.__getstate__()  # a class that is made here cannot be found by its name

    return ShownFigure


def _blank() -> Any:
    """A figure to which a pickled state is given."""
    return figure_class().__new__(figure_class())


def grid(count: int, columns: int | None, cell: tuple[float, float], *, extra: float = 0.0) -> tuple[Any, list[Any]]:
    """Create a figure and a grid of `count` axes without frames.

    Parameters
    ----------
    count : int
        Number of axes.
    columns : int or None
        Axes per row (default: a near-square grid).
    cell : (float, float)
        Width and height of one of the axes in inches.
    extra : float, default 0
        Additional width of the figure in inches, for a colour bar.

    Returns
    -------
    figure : matplotlib.figure.Figure
    axes : list of matplotlib.axes.Axes
    """
    wide = columns or max(1, math.ceil(math.sqrt(count)))
    high = max(1, math.ceil(count / wide))
    figure = figure_class()(figsize=(cell[0] * wide + extra, cell[1] * high + 0.2), layout="constrained")
    axes = figure.subplots(high, wide, squeeze=False).ravel()
    for axis in axes:
        axis.axis("off")
    return figure, list(axes[:count])


def show_image(axis: Any, image: NDArray[np.floating[Any]]) -> None:
    """Draw an image ``(H, W, C)`` in [0, 1]; see `as_picture`."""
    picture = as_picture(image)
    axis.imshow(picture[..., 0] if picture.shape[-1] == 1 else picture, cmap=GREY, vmin=0, vmax=1)


def colour_bar(figure: Any, axes: Sequence[Any], label: str, *, cmap: str, vmin: float, vmax: float) -> None:
    """Add one colour bar for all `axes`, on their right."""
    from matplotlib.cm import ScalarMappable
    from matplotlib.colors import Normalize

    high = round(figure.get_size_inches()[1])
    bar = figure.colorbar(
        ScalarMappable(Normalize(vmin, vmax), cmap), ax=list(axes), shrink=min(1.0, 4.0 / max(1, high))
    )
    bar.ax.tick_params(labelsize=7)
    bar.set_label(label, fontsize=7)


def fitted(text: object, inches: float, size: float) -> str:
    """Return a name that is drawn in at most `inches`, with an ellipsis in its middle if it is too long.

    Parameters
    ----------
    text : object
        A name; see `phosphene.words.plain_text`.
    inches : float
        Room for it.
    size : float
        Size of the font in points.

    Returns
    -------
    str
        At least five characters of it.
    """
    name = plain_text(text)
    room = max(0.0, inches - APART) * 72 / size
    most = len(name) * 2
    while _ems(shown := shortened(name, most)) > room and most > 5:
        most = max(5, min(most - 1, round(most * room / _ems(shown))))
    return shown


def _ems(text: str) -> float:
    """Width of text in units of the size of its font, rather too large than too small."""
    return sum(
        0.0
        if unicodedata.combining(letter)
        else 1.0
        if letter in "mwMW@%" or unicodedata.east_asian_width(letter) in "WF"
        else 0.4
        if letter in "fijlrtI.,:;|!'()[]/ "
        else 0.72
        if letter.isupper()
        else 0.63
        for letter in text
    )


def legend(axis: Any, names: Sequence[str], **options: Any) -> Any:
    """Add a legend that names all labelled artists of `axis` in their order, whatever the names are.

    matplotlib leaves out labels that begin with an underscore; the artists are labelled by numbers, and named here.

    Parameters
    ----------
    axis : matplotlib.axes.Axes
    names : sequence of str
        One for each artist with a label.
    **options
        Options of matplotlib's ``legend``.

    Returns
    -------
    matplotlib.legend.Legend
    """
    made = axis.legend(**options)
    for text, name in zip(made.get_texts(), names, strict=True):
        text.set_text(name)
    return made


def finished(figure: Any) -> Any:
    """Prepare all text of a figure: no markup, nothing hidden, right-to-left names isolated, and fonts that have its letters.

    Numbers on axes are left as matplotlib writes them. Letters that no installed font has are drawn as their escapes, and are
    named once in a warning.

    Parameters
    ----------
    figure : matplotlib.figure.Figure
        Changed in place.

    Returns
    -------
    matplotlib.figure.Figure
        The same figure.

    Warns
    -----
    PhospheneWarning
        For letters that no installed font has.
    """
    from matplotlib.text import Text

    numbers: set[int] = set()
    for axis in _scales(figure):
        labels = [*axis.get_ticklabels(), *axis.get_ticklabels(minor=True)]
        if _named(axis):
            shown = [_drawable(label) for label in axis.get_ticklabels()]
            axis.set_ticklabels(shown, parse_math=False, usetex=False)
        numbers.update(map(id, [*labels, axis.get_offset_text()]))
    for text in figure.findobj(Text):
        if text.get_text() and id(text) not in numbers:
            text.set(text=_drawable(text), parse_math=False, usetex=False)
    return figure


def _scales(figure: Any) -> Iterator[Any]:
    """The axes of coordinates of a figure, those of its parts included."""
    from matplotlib.axis import Axis

    yield from figure.findobj(Axis)


def _named(axis: Any) -> bool:
    """Whether the ticks of an axis have names; otherwise matplotlib writes numbers, some of them as formulas."""
    from matplotlib.ticker import FixedFormatter, FixedLocator, FuncFormatter

    named = isinstance(axis.get_major_formatter(), (FixedFormatter, FuncFormatter))
    return named and isinstance(axis.get_major_locator(), FixedLocator)


def _drawable(text: Any) -> str:
    """The words of a piece of text, of which every letter can be drawn; adds fonts to it."""
    words = plain_lines(text.get_text())
    missing = frozenset(words) - _letters(_font_file(tuple(text.get_fontfamily()))) - _UNDRAWN
    if missing:
        families, without = _fonts_with(missing)
        # Such fonts seldom come in bold.
        text.set(fontfamily=[*text.get_fontfamily(), *families], fontweight="normal")
        words = "".join(_escaped(letter) if letter in without else letter for letter in words)
    return isolated(words) if _turns_text() else words


_UNDRAWN = frozenset(f"\n\t{JOINERS}{FIRST_STRONG}{POP}\ufe0e\ufe0f")
"""Characters for which no font needs a picture."""


def _escaped(letter: str) -> str:
    return letter.encode("unicode_escape").decode("ascii")


def _turns_text() -> bool:
    """Whether this matplotlib orders right-to-left text, and knows isolates."""
    import matplotlib as mpl

    return tuple(mpl.__version_info__[:2]) >= (3, 11)


@functools.cache
def _font_file(families: tuple[str, ...]) -> str:
    """The file of the first font of these families that is installed."""
    from matplotlib.font_manager import FontProperties, findfont

    return str(findfont(FontProperties(family=list(families))))


@functools.cache
def _letters(path: str) -> frozenset[str]:
    """The characters that a font has; none for a font that matplotlib cannot read or scale."""
    from matplotlib.ft2font import FT2Font

    try:
        font = FT2Font(path)
        # Fonts of coloured bitmaps are not scalable.
        return frozenset(map(chr, font.get_charmap())) if font.scalable else frozenset()
    except (RuntimeError, OSError, ValueError, TypeError):  # a damaged font is as good as none
        return frozenset()


@functools.cache
def _fonts_with(letters: frozenset[str]) -> tuple[tuple[str, ...], frozenset[str]]:
    """Families of installed fonts that have these characters together, and the characters that none has."""
    from matplotlib.font_manager import findSystemFonts, fontManager

    listed = {entry.fname: entry.name for entry in fontManager.ttflist}
    families: list[str] = []
    missing = letters
    for path in sorted({*listed, *findSystemFonts()}, key=_preference):
        if "lastresort" in path.replace(" ", "").lower():  # has a box for every character
            continue
        if not missing:
            break
        if here := missing & _letters(path):
            if path not in listed:  # installed after matplotlib made its list
                fontManager.addfont(path)
                listed |= {entry.fname: entry.name for entry in fontManager.ttflist}
            families.append(listed[path])
            missing -= here
    if missing:
        some = ", ".join(f"{letter} (U+{ord(letter):04X})" for letter in sorted(missing)[:4])
        warnings.warn(
            PhospheneWarning(
                f"figures: no installed font has {some}{', ...' if len(missing) > 4 else ''}; such letters are drawn as escapes. "
                "Install a font that has them, for example one of the Noto fonts."
            ),
            stacklevel=2,
        )
    return tuple(dict.fromkeys(families)), missing


def _preference(path: str) -> tuple[bool, bool, str]:
    """Upright fonts of regular weight and without serifs come first."""
    name = path.rpartition("/")[2].lower()
    styled = any(word in name for word in ("bold", "italic", "oblique", "light", "black", "thin", "condensed"))
    return styled, "serif" in name or "mono" in name, path


def figure_bytes(figure: Any, kind: str) -> bytes:
    """Encode a matplotlib figure as "png", "svg" or "pdf"; equal figures give equal bytes."""
    import matplotlib as mpl

    buffer = io.BytesIO()
    # Dates and the salt of SVG identifiers would differ each time.
    undated = {"png": {}, "svg": {"Date": None}, "pdf": {"CreationDate": None}}[kind]
    with mpl.rc_context({"svg.hashsalt": "phosphene"}):
        figure.savefig(buffer, format=kind, dpi=200, metadata=undated)
    return buffer.getvalue()
