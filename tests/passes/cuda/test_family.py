"""The choice of a kernel for rows of a given width, storage and alignment."""

from __future__ import annotations

import re
from typing import NamedTuple

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gpu_logreg.passes.cuda.dense import family_of
from gpu_logreg.passes.cuda.tuning.family import OTHER_WORDS, STORAGES, Family, admissible, choose_family
from gpu_logreg.passes.cuda.tuning.family_model import static_shared_bytes

WORDS = {"float32": 1, "float64": 2}
REALS = st.sampled_from(sorted(WORDS))


@st.composite
def wishes(draw):
    """Arguments of `choose_family` for rows that are not too wide."""
    storage, real = draw(st.sampled_from(sorted(STORAGES))), draw(REALS)
    alignment = draw(st.sampled_from([size for size in (1, 2, 4, 8, 16) if size >= STORAGES[storage]]))
    multiple = draw(st.sampled_from([1, 2, 4, 16, 64]))
    most = widest(storage, real) // multiple
    return multiple * draw(st.one_of(st.integers(1, 80), st.integers(1, most))), storage, real, alignment


def widest(storage: str, real: str) -> int:
    """The width that a refusal names."""
    refused = choose_family(10**6, storage, real)
    assert isinstance(refused, str)
    (figure,) = re.findall(r" ([\d,]+) in " + real, refused)
    return int(figure.replace(",", ""))


def members(wish) -> list[Family]:
    """What the kernel has to be able to run: all that could be chosen."""
    found = list(admissible(*wish))
    assert found
    return found


def columns_of(family: Family, storage: str) -> int:
    """Columns of a load."""
    return family.vec // STORAGES[storage]


@given(wishes())
def test_one_of_the_admissible_is_chosen_and_always_the_same(wish):
    chosen = choose_family(*wish)
    assert chosen in members(wish)
    choose_family.cache_clear()
    assert choose_family(*wish) == chosen


@given(wishes())
def test_a_load_divides_rows_and_alignment_and_holds_whole_columns(wish):
    d, storage, _, alignment = wish
    for family in members(wish):
        assert family.vec in (1, 2, 4, 8, 16)
        assert d * STORAGES[storage] % family.vec == 0
        assert alignment % family.vec == 0
        assert family.vec % STORAGES[storage] == 0


@given(wishes())
def test_lanes_hold_the_row_and_none_of_their_vectors_is_for_nothing(wish):
    d, storage, _, _ = wish
    for family in members(wish):
        columns = columns_of(family, storage)
        assert family.chunks >= 1
        assert family.lanes * family.chunks * columns >= d
        assert family.lanes * (family.chunks - 1) * columns < d


@given(wishes())
def test_lanes_are_of_one_warp_or_all_of_a_block(wish):
    for family in members(wish):
        assert family.block % 32 == 0
        assert 32 <= family.block <= 1024
        assert family.lanes in (1, 2, 4, 8, 16, 32, family.block)
        assert family.batch * family.lanes == family.rows * family.block


@given(wishes())
def test_rows_under_way_are_a_power_of_two_that_lanes_can_own(wish):
    for family in members(wish):
        assert family.rows & (family.rows - 1) == 0
        assert 1 <= family.rows <= min(family.lanes, 8)


@given(wishes())
def test_registers_of_a_multiprocessor_suffice(wish):
    _, storage, real, _ = wish
    for family in members(wish):
        held = family.chunks * columns_of(family, storage) * WORDS[real]
        loaded = family.rows * family.chunks * max(family.vec // 4, 1)
        worked_on = family.rows * held if family.once else loaded
        registers = OTHER_WORDS[real] + worked_on + family.ahead * loaded + 2 * held
        assert family.resident >= 1
        assert registers <= 255
        assert family.block * family.resident * (-(-registers // 8) * 8) <= 65_536
        assert family.block * family.resident <= 1536  # what every multiprocessor can hold


@given(wishes())
def test_a_warp_loads_whole_lines_or_whole_rows(wish):
    d, storage, _, _ = wish
    for family in members(wish):
        assert family.stages or family.lanes * family.vec >= min(128, d * STORAGES[storage])


@given(wishes())
def test_stripes_are_of_contiguous_aligned_rows_and_of_whole_copies(wish):
    d, storage, real, alignment = wish
    for family in members(wish):
        if family.stages:
            assert alignment == 16
            assert family.lanes <= 32
            assert not family.ahead
            assert family.rows * 32 // family.lanes * d * STORAGES[storage] % 16 == 0
    assert not any(family.stages for family in admissible(d, storage, real, alignment, False))


@given(wishes())
def test_columns_are_converted_once_only_where_they_are_converted(wish):
    _, storage, real, _ = wish
    for family in members(wish):
        assert not family.once or STORAGES[storage] < 4 * WORDS[real]


class Pointer(NamedTuple):
    ptr: int


class Matrix(NamedTuple):
    """What `family_of` asks of an array on a device."""

    shape: tuple[int, int]
    strides: tuple[int, int]
    dtype: np.dtype
    data: Pointer


@pytest.mark.parametrize(
    ("address", "columns", "striped"), [(4096, 28, True), (4096, 29, False), (4104, 28, False), (4100, 28, False)]
)
def test_stripes_only_where_rows_follow_one_another_from_an_aligned_address(address, columns, striped):
    X = Matrix((1000, 28), (2 * columns, 2), np.dtype("float16"), Pointer(address))
    family = family_of(X, np.dtype("float32"))
    assert isinstance(family, Family)
    assert (family.stages > 0) == striped
    assert address % family.vec == 0


@given(wishes())
def test_static_shared_memory_is_enough(wish):
    _, storage, real, _ = wish
    for family in members(wish):
        warps = family.block // 32
        if family.lanes > 32:
            shared = 2 * warps * family.rows * 4 * WORDS[real]
        else:
            row = family.lanes * family.chunks
            stripe = -(-family.rows * (32 // family.lanes) * row * family.vec // 16) * 16
            shared = row * columns_of(family, storage) * 8
            if family.stages:
                shared += warps * (family.stages * stripe + 16)
        shared += 2 * warps * 8
        assert static_shared_bytes(family, storage, real) == shared <= 48 * 1024
        assert family.resident * (shared + 1024) <= 227 * 1024


@given(st.sampled_from(sorted(STORAGES)), REALS, st.sampled_from([8, 16]), st.integers(20_000, 10**7))
def test_what_is_too_wide_is_refused_with_the_figure(storage, real, alignment, d):
    assert list(admissible(d, storage, real, alignment)) == []
    refused = choose_family(d, storage, real, alignment)
    figure = f"{widest(storage, real):,}"
    assert refused == (f"a row of {d:,} columns does not fit the registers of a block, which hold {figure} in {real}")


@pytest.mark.parametrize("real", sorted(WORDS))
@pytest.mark.parametrize("storage", sorted(STORAGES))
def test_no_width_up_to_that_figure_is_refused(storage, real):
    most = widest(storage, real)
    for alignment in (STORAGES[storage], 16):
        for d in [*range(1, 300), *range(300, most, 97), *range(most - 40, most + 1)]:
            assert next(admissible(d, storage, real, alignment), None) is not None, d
        assert isinstance(choose_family(most, storage, real, alignment), Family)


@pytest.mark.parametrize("real", sorted(WORDS))
@pytest.mark.parametrize("storage", sorted(STORAGES))
def test_the_figure_is_the_widest_for_loads_of_one_column(storage, real):
    most = widest(storage, real)
    assert most >= 4096
    for d in (most + 1, most + 2, most + 64, most + 513):
        assert isinstance(choose_family(d, storage, real, STORAGES[storage]), str), d
