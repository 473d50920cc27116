"""The page of a report: whole, safe, light and dark, and for readers of every kind; in a browser where there is one."""

from __future__ import annotations

import html
import importlib.util
import json
import os
import re
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest
from page_reader import Reader, contrast, faults, themes
from test_report_scores import labelled

pytest.importorskip("matplotlib", reason="matplotlib is not installed: pip install 'gpu-logreg[report]'")
pytest.importorskip("jinja2", reason="Jinja2 is not installed: pip install 'gpu-logreg[report]'")

from gpu_logreg.errors import MissingDependencyError
from gpu_logreg.reports.content import Facts, Figure, Page, Section, Series, Table, Text
from gpu_logreg.reports.drawing import N_COLOURS, svg_of
from gpu_logreg.reports.page import html_of
from gpu_logreg.reports.report import Report
from gpu_logreg.reports.scores import Labelled
from gpu_logreg.reports.sections import Coefficients, coefficient_section, fit_section, score_sections

HOSTILE = "</title><script>alert('$x_1$')</script>&\"'"
BROWSER = next(
    (found for name in ("chromium", "chromium-browser", "google-chrome") if (found := shutil.which(name))), None
)


def sections(classes: int, n: int = 300, name: str = "class") -> list[Section]:
    rows = labelled(n, classes)
    names = tuple(f"{name} {k}" for k in range(classes))
    W = np.random.default_rng(0).standard_normal((1 if classes == 2 else classes, 40))
    ends = np.stack([W[0] - 1, W[0] + 1], axis=-1) if classes == 2 else None
    coefficients = Coefficients([f"{name} column {j}" for j in range(40)], W, names, ends, name)
    return [
        *score_sections(Labelled(rows.codes, rows.probabilities, None, names)),
        fit_section({"converged": name}, [0.7, 0.3, 0.2], [1.0, 2.5, 4.0]),
        coefficient_section(coefficients),
    ]


@pytest.fixture(scope="module")
def pages() -> dict[str, str]:
    found = {f"{k} classes": html_of(Page("A training", "A lead.", sections(k))) for k in (2, 30)}
    return found | {"hostile": html_of(Page(HOSTILE, HOSTILE, sections(3, name=HOSTILE)))}


def test_readers_of_every_kind_can_use_the_pages(pages):
    assert {name: faults(page) for name, page in pages.items()} == {name: [] for name in pages}


def test_the_check_sees_what_is_wrong():
    page = html_of(Page("A page", "", [Section("One", [Table("t", ["a", "b"], [["1", "2"]])])]))
    assert faults(page) == []
    for old, new in (
        (' lang="en"', ""),
        (' scope="col"', ""),
        ("<h2", "<p></p><h3></h3><h2"),
        ('id="content"', 'id="item-1-0-caption"'),
        ('href="data:,"', 'href="https://example.org/x.css"'),
        ('tabindex="0"', ""),
        ("<span>t</span>", "<span>One</span>"),
        ("</main>", "<script>1</script></main>"),
        ('aria-labelledby="item-1-0-caption"', 'aria-labelledby="elsewhere"'),
    ):
        assert old in page
        assert faults(page.replace(old, new, 1)), new


def test_pages_are_small_and_safe(pages):
    for page in pages.values():
        assert len(page.encode()) < 500_000
        assert "<script" not in page
        assert "default-src 'none'" in page
    assert Reader(pages["hostile"]).all("h1")[0][3] == " ".join(HOSTILE.split())


def test_colours_can_be_told_from_the_page(pages):
    for theme in themes(pages["2 classes"]):
        for name in ("ink", "quiet", "link", *(f"s{k}" for k in range(N_COLOURS))):
            assert contrast(theme[name], theme["page"]) >= 4.5, name
        assert contrast(theme["ink"], theme["head"]) >= 4.5
    assert contrast("#000000", "#ffffff") == pytest.approx(21.0)


def test_figures_have_the_colours_of_the_page(pages):
    for page in pages.values():
        assert "var(--s0)" in page
        assert not re.findall(r"(?:fill|stroke): #", page[page.index("<svg") :])
        assert "matplotlib.org" not in page


def test_a_figure_is_the_same_each_time_and_its_text_is_text():
    figure = Figure("t", "w", "across $x$", "up", [Series("a $ sign", [0, 1], [1, 2])], names=())
    one = svg_of(figure, "f")
    assert one == svg_of(figure, "f")
    assert "across $x$" in one
    assert "a $ sign" in one


def test_every_item_is_shown():
    items = [Text("a paragraph"), Facts({"name": "value"}), Table("folded", ["a"], [["b"]], folded=True)]
    reader = Reader(html_of(Page("t", "l", [Section("s", items)])))
    assert reader.facts() == {"name": "value"}
    assert reader.tables() == {"folded": [["a"], ["b"]]}
    assert any(text == "a paragraph" for *_, text in reader.all("p"))


@pytest.mark.parametrize("module", ["matplotlib", "jinja2"])
def test_a_package_that_is_missing_is_named(monkeypatch, module):
    find_spec = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name, *more: None if name == module else find_spec(name, *more)
    )
    with pytest.raises(
        MissingDependencyError, match=rf"(?i)a report needs {module}; .* pip install 'gpu-logreg\[report\]'"
    ):
        html_of(Page("t", "l"))


def test_a_notebook_shows_the_page_in_a_frame(tmp_path):
    report = Report('<p title="a">b</p>')
    assert 'srcdoc="&lt;p title=&quot;a&quot;&gt;b&lt;/p&gt;"' in report._repr_html_()
    report.save(tmp_path / "page.html")
    assert (tmp_path / "page.html").read_text(encoding="utf-8") == report.html


def browse(page: str, folder, *options: str) -> subprocess.CompletedProcess[str]:
    """Open a page in a browser without a window: its DOM on standard output, its console on standard error."""
    (folder / "page.html").write_text(page, encoding="utf-8")
    if BROWSER is None:
        pytest.skip("no Chromium is installed")
    command = [
        BROWSER,
        "--headless",
        "--no-sandbox",
        "--disable-gpu",
        "--enable-logging=stderr",
        f"--user-data-dir={folder}",
    ]
    command += ["--dump-dom", *options, (folder / "page.html").as_uri()]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=True)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["2 classes", "hostile"])
def test_a_browser_has_nothing_to_say(pages, tmp_path, name):
    found = browse(pages[name], tmp_path)
    assert "CONSOLE" not in found.stderr
    assert found.stdout.count("<h2") == pages[name].count("<h2")
    broken = pages[name].replace("</main>", "<script>1</script></main>")
    assert "CONSOLE" in browse(broken, tmp_path).stderr  # what the policy of the page forbids is seen


@pytest.mark.slow
@pytest.mark.parametrize("width", [320, 1200])
def test_a_browser_scrolls_no_page_sideways(pages, tmp_path, width):
    send = "<script>parent.postMessage([document.documentElement.scrollWidth, innerWidth].join(' of '), '*')</script>"
    page = re.sub("<meta http-equiv=.*?>", "", pages["30 classes"]).replace("</body>", f"{send}</body>")
    (tmp_path / "inner.html").write_text(page, encoding="utf-8")
    # A window of a browser has a least width, and a frame has none.
    frame = (
        f"<script>onmessage = said => {{ document.title = said.data }}</script><iframe src='inner.html' width={width}>"
    )
    dom = browse(f"<title></title>{frame}</iframe>", tmp_path, "--virtual-time-budget=5000").stdout
    scrolled, inner = map(int, re.findall(r"<title>(\d+) of (\d+)</title>", dom)[0])
    assert scrolled <= inner <= width


def axe() -> Path:
    """axe-core, the usual checks of accessibility, from the package that brings it or from the file of ``AXE_CORE``."""
    spec = importlib.util.find_spec("axe_core_python")
    beside = Path(spec.origin).parent / "axe.min.js" if spec and spec.origin else Path("no such file")
    path = Path(os.environ.get("AXE_CORE", beside))
    if not path.is_file():
        pytest.skip("axe-core is not installed: pip install axe-core-python, or AXE_CORE=<axe.min.js>")
    return path


def violations(page: str, folder: Path) -> list[str]:
    """What axe-core finds in a page: the rule, and the first element against it."""
    run = """
        axe.run(document, {runOnly: ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "best-practice"]}).then(found => {
            const told = found.violations.map(rule => rule.id + ": " + rule.nodes[0].target);
            document.title = JSON.stringify([found.passes.length, told]);
        });
    """
    page = re.sub("<meta http-equiv=.*?>", "", page)  # the policy of the page lets no script run
    page = page.replace("</body>", f"<script src='{axe().as_uri()}'></script><script>{run}</script></body>")
    dom = browse(page, folder, "--virtual-time-budget=20000", "--allow-file-access-from-files").stdout
    n_passed, told = json.loads(html.unescape(re.findall(r"<title>(.*?)</title>", dom)[0]))
    assert n_passed > 10
    return told


@pytest.mark.slow
@pytest.mark.parametrize("name", ["2 classes", "30 classes"])
@pytest.mark.parametrize("theme", ["light", "dark"])
def test_an_automatic_check_of_accessibility_finds_nothing(pages, tmp_path, name, theme):
    shown = "not all" if theme == "light" else "all"
    page = pages[name].replace("(prefers-color-scheme: dark)", shown)
    assert page != pages[name]
    assert violations(page, tmp_path) == []


@pytest.mark.slow
def test_the_automatic_check_sees_labels_and_contrast(pages, tmp_path):
    page = pages["2 classes"].replace("</main>", "<p style='color: #ccc; background: #fff'>pale</p><input></main>")
    found = " ".join(violations(page, tmp_path))
    assert "color-contrast" in found
    assert "label" in found
