"""How the tests are shared out among processes (pytest-xdist), and the threads that each of them starts."""

from __future__ import annotations

import os
import zlib
from pathlib import PurePosixPath

import pytest

TOGETHER = {"test_multilabel": "test_steps", "test_check_estimator": "test_steps"}
"""Files that are compiled for each other: the steps of networks take longest to compile."""

APART = ("test_kernels_compile",)
"""Files of long tests that share nothing: any process may take any of them."""

FIRST = ("test_steps", "scikit_learn_suite", "test_memory", "test_multinomial", "test_cli")
"""Groups that take long, so that no process is left with one at the end."""

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


def group(nodeid: str) -> str:
    """Tests of one group share fixtures and compiled loops, and are run by one process: most often those of a file.

    scikit-learn's tests are counted when they have ended, so that all of them are one.
    """
    path = PurePosixPath(nodeid.partition("::")[0])
    if path.stem in APART:
        return nodeid
    return path.parent.name if path.parent.name == "scikit_learn_suite" else TOGETHER.get(path.stem, path.stem)


def pytest_configure(config):
    if getattr(config.option, "dist", "no") != "no":
        # Inherited by the processes. Every processor has a test on it already, and idle threads of BLAS spin.
        os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config, log):
    from xdist.scheduler import LoadScopeScheduling

    class ByGroup(LoadScopeScheduling):
        def _split_scope(self, nodeid):
            return group(nodeid)

    return ByGroup(config, log)


@pytest.hookimpl(tryfirst=True)
def pytest_itemcollected(item):
    share = WIDE.get(item.path.stem, {}).get(item.originalname, 1)
    # By its name, so that a test is slow or not whichever others are collected with it.
    if zlib.crc32(item.name.encode()) % share and not item.get_closest_marker("slow"):
        item.add_marker(pytest.mark.slow)


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(config, items):
    if hasattr(config, "workerinput"):
        groups = [group(item.nodeid) for item in items]
        order = sorted(range(len(items)), key=lambda k: FIRST.index(groups[k]) if groups[k] in FIRST else len(FIRST))
        items[:] = [items[k] for k in order]
