"""Names that other people chose, made fit to be read: controls as escapes, right-to-left text isolated, long names shortened."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable

__all__ = [
    "LABEL",
    "aligned",
    "breadth",
    "isolated",
    "plain_lines",
    "plain_message",
    "plain_name",
    "plain_text",
    "shortened",
    "stretches",
]

FIRST_STRONG, POP = "\u2068", "\u2069"
"""The isolate whose direction is that of its first strong letter, and its end."""

LABEL = 48
"""Columns of a label in a table in a terminal."""

JOINERS = "\u200c\u200d"
"""Zero-width characters that spelling needs in some scripts, and that joined emoji are made of."""

UNSEEN = frozenset("\u00ad\u034f\u115f\u1160\u17b4\u17b5\u180b\u180c\u180d\u180f\u2800\u3164\uffa0")
"""Characters that are drawn as nothing although Unicode counts them as letters, marks or symbols."""

RIGHT_TO_LEFT = frozenset(("R", "AL", "AN"))
VIRAMA = 9
"""Combining class of the signs after which Indic spelling joins or parts letters."""

PARTINGS = frozenset((", ", "; ", ": ", "| ", "/ ", "\u00b7 ", "  "))
"""What stands between names that are told together."""

CLOSING = {")": "(", "]": "[", "}": "{", "\u00bb": "\u00ab", "\u201d": "\u201c"}
_ISOLATED = re.compile("\u2068([^\u2066-\u2069\n]*)\u2069")


def plain_text(text: object) -> str:
    r"""Return a name as one line in which nothing is hidden.

    Characters that change how other text is shown, or that are not shown at all, are replaced by their escapes: control
    characters (with line breaks and tabs), escape sequences of terminals, directional marks, overrides and isolates, zero-width
    characters, line separators, halves of surrogate pairs, private and unassigned characters. The zero-width joiners are kept
    where spelling or an emoji needs them.

    Parameters
    ----------
    text : object
        Shown by ``str``.

    Returns
    -------
    str
        Which can be written in UTF-8.

    Examples
    --------
    >>> print(plain_text("cat\x1b[31m"))
    cat\x1b[31m
    """
    given = str(text)
    if given.isascii() and given.isprintable():
        return given
    return "".join(
        _escape(letter) if _hidden(letter) and not _joins(given, place) else letter
        for place, letter in enumerate(given)
    )


def plain_lines(text: object) -> str:
    """Return text of several lines in which nothing is hidden: as `plain_text`, with its line breaks and tabs.

    Isolates that `isolated` added are taken off; any others are shown as escapes.

    Parameters
    ----------
    text : object
        Shown by ``str``.

    Returns
    -------
    str
    """
    given = str(text)
    if given.isascii() and given.isprintable():
        return given
    bare = _ISOLATED.sub(lambda found: found[1] if _cut(found[1]) == [(found[1], True)] else found[0], given)
    return "".join(part if part in "\n\t" else plain_text(part) for part in re.split("([\n\t])", bare))


def plain_message(text: object) -> str:
    """Return a message fit for a terminal: `plain_lines`, with right-to-left names `isolated`.

    Parameters
    ----------
    text : object
        Shown by ``str``.

    Returns
    -------
    str
    """
    return isolated(plain_lines(text))


def isolated(text: str) -> str:
    """Return text in which each stretch of right-to-left letters is isolated, so that what stands beside it keeps its place.

    Without isolation the number in "NAME 0.93" is shown to the left of a Hebrew or Arabic name, and the parts of a list in
    another order.

    Parameters
    ----------
    text : str

    Returns
    -------
    str
        The same object if there is nothing to isolate.
    """
    if not any(unicodedata.bidirectional(letter) in RIGHT_TO_LEFT for letter in text):
        return text
    return "".join(f"{FIRST_STRONG}{part}{POP}" if turned else part for part, turned in stretches(text))


def plain_name(text: object) -> str:
    """Return a name fit to stand in a line of other text: `plain_text`, `isolated` if it is written from right to left."""
    return isolated(plain_text(text))


def stretches(text: str) -> list[tuple[str, bool]]:
    """Cut text into parts, each with whether it is a stretch of right-to-left letters that is not isolated yet."""
    parts: list[tuple[str, bool]] = []
    start = 0
    for found in _ISOLATED.finditer(text):
        parts += _cut(text[start : found.start()])
        parts.append((found[0], False))
        start = found.end()
    return parts + _cut(text[start:])


def shortened(text: str, most: int) -> str:
    """Return text of at most `most` columns, with an ellipsis in its middle if it was longer.

    Both ends are kept, since names of layers differ at their ends, and names of classes at their beginnings.

    Parameters
    ----------
    text : str
    most : int
        At least 1. A Chinese, Japanese or Korean character takes two columns.

    Returns
    -------
    str
    """
    if breadth(text) <= most:
        return text
    ahead, behind = "", ""
    left, right = 0, len(text)
    room = most - 1
    # Clusters are added at both ends in turn: an accent is never parted from its letter.
    while left < right:
        end = left + 1
        while end < right and unicodedata.combining(text[end]):
            end += 1
        if breadth(ahead + text[left:end]) + breadth(behind) > room:
            break
        ahead, left = ahead + text[left:end], end
        begin = right - 1
        while begin > left and unicodedata.combining(text[begin]):
            begin -= 1
        if begin < left or breadth(ahead) + breadth(text[begin:right] + behind) > room:
            break
        behind, right = text[begin:right] + behind, begin
    return f"{ahead}\u2026{behind}"


def aligned(names: Iterable[object], most: int | None = None) -> list[str]:
    """Return names for a column of a table in a terminal: each by `plain_name`, filled with spaces to the width of the widest.

    Parameters
    ----------
    names : iterable
    most : int, optional
        Columns to which longer names are shortened (default: they are not).

    Returns
    -------
    list of str
    """
    shown = [plain_text(name) for name in names]
    shown = [name if most is None else shortened(name, most) for name in shown]
    widest = max(map(breadth, shown), default=0)
    return [isolated(name) + " " * (widest - breadth(name)) for name in shown]


def breadth(text: str) -> int:
    """Columns of a terminal that text takes: two for a wide character, none for a combining mark or a joiner."""
    if text.isascii():
        return len(text)
    return sum(
        0
        if unicodedata.category(letter) in ("Mn", "Me", "Cf")
        else 2
        if unicodedata.east_asian_width(letter) in "WF"
        else 1
        for letter in text
    )


def _hidden(letter: str) -> bool:
    # Spaces of other widths are seen as spaces.
    return letter in UNSEEN or not (letter.isprintable() or unicodedata.category(letter) == "Zs")


def _joins(text: str, place: int) -> bool:
    """Whether the joiner at this place is part of the spelling (as in UAX 31: after a virama, or between joining letters)."""
    if text[place] not in JOINERS or not 0 < place < len(text) - 1:
        return False
    before, after = text[place - 1], text[place + 1]
    if unicodedata.combining(before) == VIRAMA:
        return True
    if unicodedata.bidirectional(before) in ("AL", "NSM") and unicodedata.bidirectional(after) == "AL":
        return unicodedata.category(before) == "Lo" or unicodedata.bidirectional(before) == "NSM"
    pictured = ("So", "Sk", "Mn")  # emoji, their tones of skin, and the mark that asks for colour
    return text[place] == "\u200d" and unicodedata.category(before) in pictured and unicodedata.category(after) == "So"


def _escape(letter: str) -> str:
    return letter.encode("unicode_escape", "surrogatepass").decode("ascii")


def _cut(text: str) -> list[tuple[str, bool]]:
    parts: list[tuple[str, bool]] = []
    start = place = 0
    while place < len(text):
        if unicodedata.bidirectional(text[place]) not in RIGHT_TO_LEFT:
            place += 1
            continue
        end = _end(text, place)
        parts += [(text[start:place], False), (text[place:end], True)]
        start = place = end
    return [part for part in [*parts, (text[start:], False)] if part[0]]


def _end(text: str, start: int) -> int:
    """End of the stretch of right-to-left letters that starts here: with what stands between them, and a bracket that it opens."""
    last = place = start
    while place < len(text):
        kind = unicodedata.bidirectional(text[place])
        # The items of a list, and the columns of a table, are stretches of their own.
        if kind in ("L", "B", "S") or text[place : place + 2] in PARTINGS:
            break
        opened = CLOSING.get(text[place])
        follows = kind == "NSM" or (opened is not None and opened in text[start:place])
        if kind in RIGHT_TO_LEFT or (follows and last == place - 1):
            last = place
        place += 1
    return last + 1
