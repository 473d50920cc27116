"""Memory budgets as users write them, and what is free in a control group."""

import pytest

from gpu_logreg.arrays import memory
from gpu_logreg.arrays.memory import free_memory, memory_budget
from gpu_logreg.errors import DataError


@pytest.mark.parametrize(
    ("wanted", "nbytes"),
    [
        ("4GB", 4 * 10**9),
        ("4 gib", 2**32),
        ("512m", 512 * 10**6),
        ("1.5KiB", 1536),
        (123456, 123456),
        (2.5e9, 25 * 10**8),
    ],
)
def test_sizes(wanted, nbytes):
    assert memory_budget(wanted) == nbytes


def test_shares_are_of_free_memory(monkeypatch):
    monkeypatch.setattr(memory, "free_memory", lambda: 1000)
    assert memory_budget(0.25) == memory_budget("25%") == 250
    assert memory_budget(1.0) == 1000
    assert memory_budget(1) == 1  # an integer is bytes


@pytest.mark.parametrize(
    "wanted", ["", "4 apples", "-4GB", "0", "0%", "200%", 0, -1, 0.0, float("inf"), True, None, "GB"]
)
def test_others_are_refused_in_one_line(wanted):
    with pytest.raises(DataError, match="is no size; give bytes, such as '4GB', or a share") as refused:
        memory_budget(wanted)
    assert "\n" not in str(refused.value)


def test_the_limit_of_a_control_group(tmp_path):
    assert free_memory(tmp_path) > 2**20  # there is no group
    (tmp_path / "memory.max").write_text("3000000\n")
    (tmp_path / "memory.current").write_text("2500000\n")
    (tmp_path / "memory.stat").write_text("anon 1\ninactive_file 1500000\nactive_file 2\n")
    assert free_memory(tmp_path) == 2_000_000
    (tmp_path / "memory.max").write_text("max\n")
    assert free_memory(tmp_path) > 2**20
