"""Figures of README and docs: each has its row in ``bench/results/``, none is stale, and none stands outside a mark."""

from __future__ import annotations

import re
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
sys.path.insert(0, str(ROOT / "bench"))

import figures  # noqa: E402
import pictures  # noqa: E402
from recorded import Spec, fastest_peer, newest_run, races, rows_of, specification  # noqa: E402

SPEC = specification()
DOCUMENTS = list(figures.documents())

# A number that was measured has a unit of time, memory or rate, or counts reads.
UNIT = r"(?:n?s|ms|µs|seconds?|minutes?|hours?|times (?:as|faster|slower)|(?:plain )?reads|[KMGT]i?B(?:/s)?)\b|%"
MEASURED = re.compile(rf"(?<![\w.,]){figures.NUMBER}\s?(?:{UNIT})")
CELL = re.compile(rf"\|\s*(?:over |more than )?{figures.NUMBER}(?: (?:{UNIT}))?(?:, [^|]*above[^|]*)?\s*(?=\|)")
CODE = re.compile(r"^```.*?^```$|``[^`]+``|`[^`]+`", re.M | re.S)


def read(document: str) -> str:
    return (ROOT / document).read_text(encoding="utf-8")


def unmarked(document: str, text: str, spec: Spec) -> list[str]:
    """Numbers that look measured, and stand neither in a mark nor among those that say why they need none."""
    entries = [entry for entry in spec.get("limit", []) if entry["document"] == document]
    if any(entry.get("whole") for entry in entries):
        return []
    text = CODE.sub("`", figures.TABLE.sub("", text))
    for entry in (*spec.get("phrase", []), *entries):
        if entry["document"] == document:
            text = figures.pattern_of(CODE.sub("`", entry["text"])).sub("", text)
    return MEASURED.findall(text) + CELL.findall(text)


def test_no_figure_is_stale():
    stale = [one for one in DOCUMENTS if figures.rewritten(one, read(one), SPEC) != read(one)]
    assert stale == [], "run: python bench/figures.py --write"


def test_no_figure_stands_outside_a_mark():
    found = {one: numbers for one in DOCUMENTS if (numbers := unmarked(one, read(one), SPEC))}
    assert found == {}, "add a row of bench/results to docs/figures.toml"


def test_every_entry_is_used():
    tables = [name for document in DOCUMENTS for _, name, *_ in figures.TABLE.findall(read(document))]
    assert sorted(tables) == sorted(table["name"] for table in SPEC["table"])
    for entry in SPEC["limit"]:
        assert figures.pattern_of(entry["text"]).search(read(entry["document"])), entry
        assert entry["why"]


@pytest.mark.parametrize("name", [picture["name"] for picture in SPEC["picture"]])
def test_pictures_show_the_newest_rows(name):
    pytest.importorskip("matplotlib", reason="matplotlib is not installed: pip install 'gpu-logreg[report]'")
    rows, _ = pictures.DRAWINGS[name]
    for theme in pictures.THEMES:
        path = pictures.PICTURES / f"{name}-{theme}.svg"
        assert path.exists() == bool(rows())
        assert not path.exists() or f"rows {pictures.digest(rows())}<" in path.read_text(encoding="utf-8")
        assert not path.exists() or path.stat().st_size < 300_000


def test_readme_is_a_screen_and_a_half():
    assert len(read("README.md").splitlines()) <= 90


RESULTS = """date,commit,processor,problem,n,solver,seconds,suboptimality,per_ours,note
2026-01-01,a,2 x P,one,10,gpu-logreg,1.0,1e-12,1.0,
2026-01-01,a-dirty,2 x P,one,10,other,0.5,1e-3,0.5,
2026-01-01,a-dirty,2 x P,one,10,third,40.0,1e-9,40.0,ended at the limit
2026-01-02,b,2 x P,one,10,gpu-logreg,2.0,1e-12,1.0,
2026-01-02,b,2 x P,one,10,other,1.0,1e-9,0.5,
2026-01-02,b,2 x P,one,10,"other, sparse",0.1,1e-9,0.05,
"""
TABLE = {
    "name": "t",
    "file": "fit",
    "head": "h",
    "label": "{n}",
    "rows": [{"where": {"n": 10}}],
    "columns": [
        {"head": "ours", "where": {"solver": "gpu-logreg"}, "field": "seconds", "show": "seconds"},
        {"head": "other", "where": {"solver": "other"}},
        {"head": "third", "where": {"solver": "third"}},
    ],
}


@pytest.fixture
def results(tmp_path):
    (tmp_path / "fit.csv").write_text(RESULTS)
    return tmp_path


def test_a_row_of_a_table_is_of_the_newest_run(results):
    assert figures.table_text(TABLE, results).splitlines()[-1] == "| 10 | 2.00 s | 0.50 | | 2 x P, 2026-01-02 |"
    older = "".join(RESULTS.splitlines(keepends=True)[:4])
    (results / "fit2.csv").write_text(older)
    last = figures.table_text(TABLE | {"file": "fit2"}, results).splitlines()[-1]
    assert last == "| 10 | 1.00 s | 0.50, 1e-3 above | over 40 | 2 x P, 2026-01-01 |"


def test_problems_lost_are_those_of_peers_that_arrived(results):
    ((ours, others),) = races("fit", ["problem", "n"], results)[:1]
    assert fastest_peer(ours, others)["seconds"] == "1.0"
    spec = {"files": [{"file": "fit", "title": "ridge", "keys": ["problem", "n"]}]}
    assert "| ridge: one, 10 rows | 2.00 s | other | 0.50 | 2 x P, 2026-01-02 |" in figures.loss_text(spec, results)
    (results / "fit3.csv").write_text(RESULTS.replace("1.0,1e-9,0.5", "1.0,1e-3,0.5"))
    spec["files"][0]["file"] = "fit3"
    assert len(figures.loss_text(spec, results).splitlines()) == 2


PEERS = """date,commit,processor,problem,n,d,peer,s_to_1e-8,suboptimality,outcome
2026-01-01,a,2 x P,one,10,2,gpu-logreg,2.0,1e-12,reached 1e-8
2026-01-01,a,2 x P,one,10,2,scikit-learn lbfgs,1.0,1e-09,reached 1e-8
2026-01-01,a,2 x P,one,10,2,celer,,1e-3,ends 1e-3 above
2026-01-01,a,2 x P,one,10,2,skglm,,nan,not installed
"""


def test_problems_of_the_harness_are_shown_and_lost_ones_listed(tmp_path):
    assert "make bench" in figures.harness_text(tmp_path)
    (tmp_path / "later").mkdir()
    (tmp_path / "later" / "peers.csv").write_text(PEERS)
    wanted = "| one | 2.00 s | scikit-learn lbfgs | 0.50 | celer | 2 x P, 2026-01-01 |"
    assert figures.harness_text(tmp_path / "later").splitlines()[-1] == wanted
    spec = {"files": [{"file": "peers", "title": "make bench", "keys": ["problem", "n", "d"]}]}
    assert "| make bench: one, 10 rows, 2 columns | 2.00 s |" in figures.loss_text(spec, tmp_path / "later")


def test_a_sentence_gets_the_newest_figures(results):
    phrase = {"document": "d", "text": "It takes {} s, or {} of ours.", "file": "fit", "where": {"solver": "other"}}
    one = {"field": "seconds", "show": ".1f"}
    phrase["figures"] = [one, one | {"over": {"solver": "gpu-logreg"}, "show": ".2f"}]
    text = "Here: It takes\n3 s, or 0.1 of ours. And 7 s."
    assert (
        figures.rewritten("d", text, {"phrase": [phrase]}, results)
        == "Here: It takes\n1.0 s, or 0.50 of ours. And 7 s."
    )
    assert unmarked("d", text, {"phrase": [phrase]}) == ["7 s"]
    with pytest.raises(figures.FigureError, match="does not say"):
        figures.rewritten("d", "It takes long.", {"phrase": [phrase]}, results)
    with pytest.raises(figures.FigureError, match="no row"):
        figures.figures_of(phrase | {"where": {"solver": "fourth"}}, results)


def test_numbers_are_compared_as_numbers_and_texts_as_patterns(results):
    rows = rows_of("fit", results)
    assert len(newest_run(rows, {"n": 10.0, "solver": "other*"})) == 2
    assert newest_run(rows, {"n": 11}) == []


@pytest.mark.parametrize(
    ("text", "found"),
    [("It takes 0.3 s.", 1), ("`0.3 s`", 0), ("| a | 1.7 |\n", 1), ("in 7 reads", 1), ("1,000 rows", 0), ("12 %", 1)],
)
def test_what_looks_measured(text, found):
    assert len(unmarked("d", text, {})) == found
