"""How many of scikit-learn's tests apply, and how many of those pass."""

from __future__ import annotations

import pytest
from adapter import OUTCOMES, is_theirs
from listed import LISTED, Kind, entry


def test_nearly_all_of_the_tests_that_apply_pass(request, capsys):
    outcomes = request.config.stash[OUTCOMES]
    collected = [item for item in request.session.items if is_theirs(item)]
    if not collected or sum(outcomes.values()) < len(collected):
        pytest.skip("scikit-learn's tests were not run, or not all of them")
    applies = outcomes["passed"] + outcomes["failed"]
    listed = ", ".join(f"{outcomes[kind]} {kind.value}" for kind in Kind)
    with capsys.disabled():
        print(
            f"\nscikit-learn's tests: {applies} apply and {outcomes['passed']} of them pass "
            f"({outcomes['passed'] / (applies + outcomes[Kind.PURPOSE]):.1%} of those that apply or differ on purpose);"
            f" {outcomes['skipped']} skipped by themselves; listed: {listed}"
        )
    assert outcomes["passed"] >= 0.95 * applies


def test_every_line_of_the_list_fits_a_test(request):
    if request.config.getoption("keyword") or any("::" in argument for argument in request.config.args):
        pytest.skip("some of scikit-learn's tests were asked for by name")
    modules = {item.path.name for item in request.session.items if is_theirs(item)}
    if len(modules) < 2:
        pytest.skip("not all of scikit-learn's tests were collected")
    names = {item.name for item in request.session.items if is_theirs(item)}
    used = {id(entry(name)) for name in names if entry(name) is not None}
    assert [pattern for pattern, found in LISTED.items() if id(found) not in used] == []
