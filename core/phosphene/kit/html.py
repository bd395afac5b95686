"""HTML pages from nested elements; text is escaped unless it is `Html`, and made plain (see `phosphene.words`)."""

from __future__ import annotations

import base64
import hashlib
import html
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from phosphene.kit.pictures import png_bytes
from phosphene.words import isolated, plain_lines, stretches

__all__ = ["Html", "element", "page", "picture"]

STYLE = Path(__file__).parent / "style.css"

_VOID = frozenset({"img", "meta", "br", "link"})

_TEXT_ONLY = frozenset({"title", "option", "textarea", "text", "tspan"})
"""Elements that hold no others, or those of SVG: in them, and in the attributes below, isolates are characters."""

_READ_ALOUD = frozenset({"title", "alt", "placeholder", "aria_label"})


class Html(str):
    """Text that is HTML markup, and is not escaped."""


def element(tag: str, *children: str, **attributes: object) -> Html:
    """Make an element; attributes and children that are not `Html` are escaped (``class_`` stands for ``class``).

    Characters that are not seen, or that change how others are shown, are written as their escapes, and right-to-left names are
    isolated, so that no name changes what stands beside it.
    """
    text = "".join(
        f' {key.rstrip("_").replace("_", "-")}="{html.escape(_value(key, value))}"'
        for key, value in attributes.items()
        if value is not None
    )
    if tag in _VOID:
        return Html(f"<{tag}{text}>")
    inside = "".join(child if isinstance(child, Html) else _words(tag, child) for child in children)
    return Html(f"<{tag}{text}>{inside}</{tag}>")


def _value(key: str, value: object) -> str:
    text = plain_lines(value)
    return isolated(text) if key in _READ_ALOUD else text


def _words(tag: str, text: str) -> str:
    shown = plain_lines(text)
    if tag in _TEXT_ONLY:
        return html.escape(isolated(shown))
    return "".join(
        f"<bdi>{html.escape(part)}</bdi>" if turned else html.escape(part) for part, turned in stretches(shown)
    )


def picture(image: NDArray[np.floating[Any]], description: str, **attributes: object) -> Html:
    """Embed an image ``(H, W, 3)`` in [0, 1] as PNG, with a text alternative."""
    source = "data:image/png;base64," + base64.b64encode(png_bytes(image)).decode()
    height, width = image.shape[:2]
    return element("img", src=source, alt=description, width=width, height=height, loading="lazy", **attributes)


def page(title: str, *body: Html, script: Path | None = None, style: Path | None = None) -> str:
    """Make a self-contained HTML document with the common stylesheet; it loads no other file.

    Parameters
    ----------
    title : str
    *body : Html
    script : Path, optional
        A JavaScript file to inline. The page's content security policy allows this script alone, by its digest.
    style : Path, optional
        A stylesheet to add after the common one.

    Returns
    -------
    str
    """
    sheets = (STYLE, style) if style else (STYLE,)
    looks = "".join(sheet.read_text(encoding="utf-8") for sheet in sheets)
    code = script.read_text(encoding="utf-8") if script else ""
    digest = base64.b64encode(hashlib.sha256(code.encode()).digest()).decode()
    allowed = f" script-src 'sha256-{digest}';" if code else ""
    policy = (
        f"default-src 'none'; img-src data:; style-src 'unsafe-inline';{allowed} base-uri 'none'; form-action 'none'"
    )
    head = Html(
        "".join(
            [
                element("meta", charset="utf-8"),
                Html(f'<meta http-equiv="Content-Security-Policy" content="{policy}">'),
                element("meta", name="viewport", content="width=device-width, initial-scale=1"),
                element("title", title),
                element("style", Html(looks)),
            ]
        )
    )
    content = element("main", *body)
    run = element("script", Html(code)) if code else ""
    return f'<!doctype html>\n<html lang="en"><head>{head}</head><body>{content}{run}</body></html>\n'
