"""Attributes computed when first asked for: once for an instance, and without a lock."""

from __future__ import annotations

import ast
import copy
import pickle
import threading
from dataclasses import dataclass, field
from pathlib import Path

import pytest

import gpu_logreg
from gpu_logreg.arrays.cached_attribute import cached_attribute

PACKAGE = Path(gpu_logreg.__file__).parent


@dataclass(frozen=True)
class Square:
    side: float
    asked: list[float] = field(default_factory=list, compare=False)

    @cached_attribute
    def area(self) -> float:
        """The side, squared."""
        self.asked.append(self.side)
        return self.side**2


def test_it_is_computed_once_for_every_instance_and_when_it_is_asked_for():
    two, three = Square(2.0), Square(3.0)
    assert two.asked == []
    assert [two.area, two.area, three.area, two.area] == [4.0, 4.0, 9.0, 4.0]
    assert (two.asked, three.asked) == ([2.0], [3.0])


def test_the_class_shows_the_attribute_and_its_docstring():
    assert isinstance(Square.area, cached_attribute)
    assert Square.area.__doc__ == "The side, squared."


def test_an_error_is_not_kept():
    class Late:
        ready = False

        @cached_attribute
        def value(self) -> int:
            if not self.ready:
                raise ValueError("not yet")
            return 5

    late = Late()
    with pytest.raises(ValueError, match="not yet"):
        late.value  # noqa: B018
    late.ready = True
    assert late.value == 5


@pytest.mark.parametrize("copied", [copy.copy, copy.deepcopy, lambda square: pickle.loads(pickle.dumps(square))])
def test_copies_keep_the_value(copied):
    square = Square(2.0)
    assert square.area == 4.0
    twin = copied(square)
    assert (twin, twin.area, twin.asked) == (square, 4.0, [2.0])


def test_one_instance_does_not_wait_for_another():
    class Paired:
        """Its value is there once another instance's is being computed."""

        def __init__(self, barrier: threading.Barrier) -> None:
            self.barrier = barrier

        @cached_attribute
        def value(self) -> int:
            return self.barrier.wait(timeout=30) + 1  # with one lock for both it would break

    barrier = threading.Barrier(2)
    pair = [Paired(barrier), Paired(barrier)]
    threads = [threading.Thread(target=lambda one=one: one.value) for one in pair]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(vars(one).get("value", 0) for one in pair) == [1, 2]


def test_threads_that_ask_one_instance_at_once_get_the_same_object():
    barrier = threading.Barrier(2)

    class Shared:
        @cached_attribute
        def value(self) -> object:
            barrier.wait(timeout=30)  # both are computing
            return object()

    shared, got = Shared(), []
    threads = [threading.Thread(target=lambda: got.append(shared.value)) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(got) == 2
    assert got[0] is got[1] is shared.value


def test_no_class_of_the_package_uses_the_one_with_a_lock():
    """Of Python 3.11, where a child forked under the lock would wait for ever."""
    users = [
        path.name
        for path in PACKAGE.rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if (isinstance(node, ast.ImportFrom) and "cached_property" in [alias.name for alias in node.names])
        or (isinstance(node, ast.Attribute) and node.attr == "cached_property")
    ]
    assert users == []
