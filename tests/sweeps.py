"""Sweeps whose values repeat a claim: all of them by ``make test-all``, some by ``make test``."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import pytest

WIDE = {
    "test_coordinate_descent": {"test_agrees_with_plain_cycles": 2},
    "test_cpu_multinomial": {"test_every_number_of_classes_rows_and_columns": 2},
    "test_kernels_host": {"test_ragged_rows": 4},
    "test_kernels_host_network": {"test_forward_and_backward_of_an_activation": 2},
    "test_label_kinds": {"test_missing_labels_are_refused_by_their_row": 3},
    "test_multilabel": {"test_gradient_of_every_parameter": 2},
    "test_network": {"test_gradient_of_every_parameter": 3, "test_gradient_is_that_of_autograd": 2},
    "test_pass_cublas": {"test_sums_follow_the_reference": 3},
    "test_passes": {"test_moments": 2, "test_every_dtype_in_every_layout": 2},
    "test_scores": {"test_lengths_that_differ": 4},
    "test_sparse_pass": {"test_a_sample_is_the_dense_one_of_the_same_rows": 3},
    "test_sparse_rows": {
        "test_values_that_are_not_finite_are_named_by_row_and_column": 4,
        "test_networks_are_those_of_dense_rows": 3,
        "test_class_weights_and_no_intercept": 3,
    },
    "test_stress": {"test_a_seed_is_one_problem_and_its_container_holds_its_rows": 3},
    "test_working_set": {"test_the_solution_is_that_of_all_columns": 3},
}
"""Sweeps that repeat one claim for many values: ``make test`` runs one test of so many, ``make test-all`` all."""


def slow(value: Any) -> Any:
    """A value for ``parametrize``, or a tuple of values for several names, marked ``slow``."""
    return pytest.param(*(value if type(value) is tuple else (value,)), marks=pytest.mark.slow)


def thinned(values: Iterable[Any], keep: Callable[[Any], bool]) -> list[Any]:
    """Values for ``parametrize``, of which those that ``keep`` refuses are marked ``slow``."""
    return [value if keep(value) else slow(value) for value in values]


def every_other(values: Iterable[Any]) -> list[Any]:
    """Values for ``parametrize``, of which the second, the fourth, ... are marked ``slow``."""
    return [slow(value) if k % 2 else value for k, value in enumerate(values)]
