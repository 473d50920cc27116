"""A page as HTML: one file without scripts, which loads nothing, for a screen of any size, light or dark."""

from __future__ import annotations

import functools
from importlib.resources import files
from typing import Any

from gpu_logreg.errors import MissingDependencyError
from gpu_logreg.reports.content import Facts, Figure, Page, Table, Text
from gpu_logreg.reports.drawing import svg_of

__all__ = ["check_packages", "html_of"]


def check_packages(what: str) -> None:
    """Refuse where a package that pages are made with is not installed; ``what`` needs it.

    Raises
    ------
    MissingDependencyError
    """
    from importlib.util import find_spec

    for module, package in (("matplotlib", "matplotlib"), ("jinja2", "Jinja2")):
        if find_spec(module) is None:
            raise MissingDependencyError(f"{what} needs {package}; install it with: pip install 'gpu-logreg[report]'")


def html_of(page: Page) -> str:
    """The page as HTML.

    Raises
    ------
    MissingDependencyError
    """
    check_packages("a report")
    sections = [
        {
            "id": f"section-{number}",
            "heading": section.heading,
            "items": [_shown(item, f"item-{number}-{at}") for at, item in enumerate(section.items)],
        }
        for number, section in enumerate(page.sections, 1)
    ]
    html: str = _template().render(page=page, sections=sections)
    return html


def _shown(item: Any, name: str) -> dict[str, Any]:
    """What the template needs of an item."""
    kinds = {Text: "text", Facts: "facts", Table: "table", Figure: "figure"}
    shown = {"kind": kinds[type(item)], "id": name, "item": item}
    return shown | ({"svg": svg_of(item, name)} if isinstance(item, Figure) else {})


@functools.cache
def _template() -> Any:
    from jinja2 import Environment, StrictUndefined

    environment = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    return environment.from_string(files("gpu_logreg.reports").joinpath("page.html").read_text(encoding="utf-8"))
