"""A page as software reads it: its elements and tables, and what is wrong with it for those who do not see it."""

from __future__ import annotations

import itertools
import re
from collections import Counter
from html.parser import HTMLParser


def undrawn(figure: object, prefix: str) -> str:
    """In place of `gpu_logreg.reports.drawing.svg_of` where a test is about numbers: drawing takes most of the time."""
    return f'<svg role="img" aria-labelledby="{prefix}-title" aria-describedby="{prefix}-words"></svg>'


VOID = {"meta", "link", "br", "img", "input"}


class Reader(HTMLParser):
    """Elements in their order, with their attributes, the path to them, and their text."""

    def __init__(self, text: str) -> None:
        super().__init__(convert_charrefs=True)
        self.elements: list[tuple[str, dict[str, str], tuple[str, ...], list[str]]] = []
        self._open: list[tuple[str, dict[str, str], tuple[str, ...], list[str]]] = []
        self.feed(text)
        self.close()
        assert not self._open, [tag for tag, *_ in self._open]

    def handle_starttag(self, tag, attrs):
        element = (tag, {name: value or "" for name, value in attrs}, tuple(one[0] for one in self._open), [])
        self.elements.append(element)
        if tag not in VOID:
            self._open.append(element)

    def handle_startendtag(self, tag, attrs):
        self.handle_starttag(tag, attrs)
        if tag not in VOID:
            self._open.pop()

    def handle_endtag(self, tag):
        assert self._open[-1][0] == tag, (tag, self._open[-1][:3])
        self._open.pop()

    def handle_data(self, data):
        for *_, texts in self._open:
            texts.append(data)

    def all(self, *tags: str) -> list[tuple[str, dict[str, str], tuple[str, ...], str]]:
        """The elements of these tags, with their whole text."""
        return [(t, a, path, " ".join("".join(x).split())) for t, a, path, x in self.elements if t in tags]

    def tables(self) -> dict[str, list[list[str]]]:
        """Cells of every table by its caption."""
        found: dict[str, list[list[str]]] = {}
        for tag, _, _, texts in self.elements:
            if tag == "caption":
                caption = "".join(texts).strip()
                found[caption] = []
            elif tag == "tr":
                found[caption].append([])
            elif tag in ("th", "td"):
                found[caption][-1].append("".join(texts))
        return found

    def facts(self) -> dict[str, str]:
        """Values of all lists by name."""
        names = [text for *_, text in self.all("dt")]
        return dict(zip(names, [text for *_, text in self.all("dd")], strict=True))


def faults(text: str) -> list[str]:
    """What is wrong with a page for a reader who does not see it, uses a keyboard, or has no network."""
    reader = Reader(text)
    ids = Counter(a["id"] for _, a, *_ in reader.elements if "id" in a)
    wrong = [f"the id {name} {count} times" for name, count in ids.items() if count > 1]
    for tag, a, path, _ in reader.elements:
        for name in ("aria-labelledby", "aria-describedby"):
            wrong += [f"{tag}: {name} names no {target}" for target in a.get(name, "").split() if target not in ids]
        for name in ("href", "xlink:href", "src"):
            link = a.get(name, "#")
            if link.startswith("#") and link != "#" and link[1:] not in ids:
                wrong.append(f"{tag}: {name} leads to no {link}")
            if not link.startswith(("#", "data:")):
                wrong.append(f"{tag}: {name} leads out of the page, to {link}")
        wrong += [
            f"url(#{target}) is nowhere" for target in re.findall(r"url\(#([^)]*)\)", str(a)) if target not in ids
        ]
        if tag == "svg" and "svg" not in path and not (a.get("role") == "img" and "aria-labelledby" in a):
            wrong.append("a figure has no name")
        if tag == "th" and "scope" not in a:
            wrong.append("a heading of a table has no scope")
        if any(name.startswith("on") for name in a) or tag in ("script", "iframe", "object", "embed"):
            wrong.append(f"{tag}: runs something")
    levels = [int(tag[1]) for tag, *_ in reader.all("h1", "h2", "h3", "h4")]
    wrong += [f"a heading of level {b} follows one of level {a}" for a, b in itertools.pairwise(levels) if b > a + 1]
    wrong += ["not one heading of level 1"] * (levels.count(1) != 1)
    wrong += ["no language"] * ("lang" not in reader.all("html")[0][1])
    wrong += ["no title"] * (not reader.all("title")[0][3])
    wrong += ["not one main part"] * (len(reader.all("main")) != 1)
    wrong += ["a table has no caption"] * (len(reader.all("caption")) != len(reader.all("table")))
    texts = {a["id"]: "".join(parts).strip() for _, a, _, parts in reader.elements if "id" in a}
    parts = Counter(
        texts.get(a["aria-labelledby"]) for tag, a, *_ in reader.elements if "aria-labelledby" in a and tag != "svg"
    )
    wrong += [f"{count} parts are named {name!r}" for name, count in parts.items() if count > 1]
    regions = [a for _, a, *_ in reader.all("div") if "wide" in a.get("class", "")]
    wrong += ["a wide part cannot be reached by keyboard"] * (not all(a.get("tabindex") == "0" for a in regions))
    return wrong


def themes(text: str) -> tuple[dict[str, str], dict[str, str]]:
    """Colours of the style sheet, light and dark."""
    light, dark = (
        dict(re.findall(r"--(\w+): (#\w{6})", block)) for block in re.findall(r":root \{(.*?)\}", text, re.S)
    )
    return light, dark


def contrast(one: str, other: str) -> float:
    """Contrast of two colours by the Web Content Accessibility Guidelines: from 1 to 21."""

    def luminance(colour: str) -> float:
        parts = [int(colour[at : at + 2], 16) / 255 for at in (1, 3, 5)]
        linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
        return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]

    low, high = sorted((luminance(one), luminance(other)))
    return (high + 0.05) / (low + 0.05)
