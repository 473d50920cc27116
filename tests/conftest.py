"""How the tests are shared out among processes (pytest-xdist), and the threads that each of them starts."""

from __future__ import annotations

import os
import zlib
from collections import Counter
from pathlib import PurePosixPath

import pytest
import rounding_noise
from sweeps import HEAVY, MANY, ONE_OF, WIDE

TOGETHER = {
    "test_multilabel": "test_steps",
    "test_check_estimator": "test_steps",
    "test_cli_clusters": "test_clusters",
    "test_cluster_networks": "test_clusters",
    "test_cluster_refusals": "test_clusters",
    "test_cluster_scores": "test_clusters",
    "test_partitions": "test_clusters",
}
"""Files that are compiled for each other, as the steps of networks take longest to compile, or share a cluster."""

APART = ("test_kernels_compile",)
"""Files of long tests that share nothing: any process may take any of them."""

FIRST = ("test_steps", "scikit_learn_suite", "test_clusters", "test_memory", "test_classes", "test_cli")
"""Groups that take long, so that no process is left with one at the end."""


def group(nodeid: str) -> str:
    """Tests of one group share fixtures and compiled loops, and are run by one process: most often those of a file.

    scikit-learn's tests are counted when they have ended, so that all of them are one.
    """
    path = PurePosixPath(nodeid.partition("::")[0])
    if path.stem in APART:
        return nodeid
    return path.parent.name if path.parent.name == "scikit_learn_suite" else TOGETHER.get(path.stem, path.stem)


def pytest_addoption(parser):
    parser.addoption("--rounding-noise", type=int, metavar="SEED", help="round sums as another processor might")
    parser.addoption("--rounding-float64", action="store_true", help="change the sums of float64 arithmetic alone")


def pytest_configure(config):
    if (seed := config.option.rounding_noise) is not None:
        rounding_noise.install(seed, ("float64",) if config.option.rounding_float64 else ("float64", "float32"))
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
def pytest_collection_modifyitems(config, items):
    cases = Counter((item.path, item.originalname) for item in items)
    for item in items:
        named = WIDE.get(item.path.stem, {}).get(item.originalname)
        # A list says which of scikit-learn's own fail, and is held to be about tests that are run.
        may = item.path.parent.name != "scikit_learn_suite" and cases[item.path, item.originalname] >= MANY
        share = named or (ONE_OF if may else 1)
        # By its name, which says nothing of what it is about, so that cases of every kind are left.
        left_out = zlib.crc32(item.name.encode()) % share or item.name in HEAVY.get(item.path.stem, ())
        if left_out and not item.get_closest_marker("slow"):
            item.add_marker(pytest.mark.slow)
    if hasattr(config, "workerinput"):
        groups = [group(item.nodeid) for item in items]
        order = sorted(range(len(items)), key=lambda k: FIRST.index(groups[k]) if groups[k] in FIRST else len(FIRST))
        items[:] = [items[k] for k in order]


@pytest.fixture(scope="session")
def client():
    """A client of a scheduler with two workers of one thread, each in a process of its own."""
    from distributed import Client, LocalCluster

    options = {"threads_per_worker": 1, "dashboard_address": ":0", "memory_limit": 0}
    with LocalCluster(n_workers=2, **options) as cluster, Client(cluster, set_as_default=False) as found:
        yield found
