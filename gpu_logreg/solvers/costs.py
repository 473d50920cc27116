"""Times of reads, samples and Hessians, and what follows from them: the size of a sample, and whether sampling pays."""

from __future__ import annotations

import functools
import math
from typing import Any, NamedTuple

import numpy as np

from gpu_logreg.mathematics.hessian_form import HessianForm

__all__ = [
    "DENSE",
    "LARGEST_P",
    "CheapestSample",
    "Costs",
    "cheapest_sample",
    "columns_pay",
    "cost_in_reads",
    "curvature_reads",
    "factors_price",
    "gradients_price",
    "gram_price",
    "has_room_for_gram",
    "hessians_price",
    "leading_directions",
    "leading_price",
    "leading_sample_size",
    "newton_is_fastest",
    "sample_size",
    "sampling_pays",
]

FLOPS_PER_ELEMENT, FLOPS_PER_LOGIT = 32.0, 16.0
"""Floating-point operations of a symmetric product in the time in which one element of ``X`` is read, and in which it
is multiplied by the weight of one logit: a pass of several logits takes longer than the memory.

Right within a factor of two on two cores; the cost is flat around its minimum. Constants, because a rate timed during
the fit would make the result depend on what else the machine was doing.
"""

SAMPLE_READS = 12.0
"""Times the sample is walked, in the time of as many rows of the data: its gathering and about ten gradients on it.

Less than it takes on two cores, on purpose: it is the larger sample that makes reads few.
"""

RELATIVE_GOAL = 1e-9
"""Relative suboptimality that a fit is expected to end with: that of the default ``tol`` of 1e-6."""

HESSIANS = 1.5
"""Hessians of a whole sample that a fit is expected to sum and factor: one, and half as much for its parts."""

TINY_ROWS, TINY_FLOPS = 2000, 2e6
"""Rows, and multiplications of a Hessian of them all, up to which Newton's method is over before sampling would pay."""

LBFGS_READS = 60.0
"""Reads that L-BFGS takes on data that are neither easy nor hard, for the choice of ``solver="auto"``."""

SMALL_FLOPS = 1e8
"""Multiplications of all Hessians and factorisations below which the interpreter takes longer than they do."""

SPARSE_HESSIANS = 5000.0
"""Time of all that is done with the matrices of a fit on sparse rows whatever their number, for each element of one,
over that of reading an element of dense rows: they are centred, joined, factored and solved with.

Little beside reads of many stored elements, most of a fit beside reads of few. From trials on two cores of which no row
is kept: 30,000 to a million rows, of fields of many levels, of counts with heavy tails, of correlated columns."""

WEAK_RIDGE = 0.1
"""Ridge of the summed loss, ``1 / C``, below which the Hessians of sparse rows are taken at any price: where levels
have few rows, L-BFGS by its own estimate then ended too far above the minimum."""

FACTORED_STEPS = 30.0
"""Steps that L-BFGS takes with mean factors on data that are neither easy nor hard."""

LEADING_STEPS = 25.0
"""The same with the Hessian along the leading directions besides: ten digits at the rate of MNIST's ten classes."""

LEADING_PARAMS, LEADING_COLUMNS, LEAST_LEADING = 2000, 2000, 10
"""Parameters of all classes along the leading directions, columns up to which their eigenvectors are sought, and the
fewest directions of a class that are worth it."""

LEADING_ROWS = 8
"""Rows of a sample for each of those parameters."""

SOLVED_BY_FACTORS = 1.25
"""Time of a solution by mean factors, in reads of as many rows as a class has parameters: triangles of that size are
read twice for every class. From a trial with 500 rows of 1,000 columns, of which no row is kept."""

GRAM_STEPS = 6.0
"""Steps by factors of the Gram matrix that a fit in the space of its rows is expected to take."""

COLUMNS_PARAMS, COLUMNS_ELEMENTS, ELEMENTS_PER_SQUARE, IN_A_PATH = 50, 50_000, 5.0, 0.2
"""Parameters from which an L1 fit of sparse rows may go by columns instead of by Hessians, elements up to which it
does, the same for each square of the parameters, and the share of both for fits of a path, which share Hessians. From
trials on 180 problems and 18 paths, of which no row is kept."""

LARGEST_P = 8000
"""Parameters of a logit beyond which the p x p matrices take more than 0.5 GB each."""

LARGEST_SAMPLE = 2**27
"""Elements of a dense sample of sparse rows: a gibibyte."""


class Costs(NamedTuple):
    """Times relative to those of as many dense rows: of a read, of a walk over a sample, and of summing a Hessian."""

    read: float = 1.0
    sample: float = 1.0
    curvature: float = 1.0


DENSE = Costs()


class CurvatureReads(NamedTuple):
    """Reads of the whole data that a Hessian takes the time of: ``fixed``, for its factor, and ``per_row`` of it."""

    fixed: float
    per_row: float


def curvature_reads(n: int, hessian: HessianForm, costs: Costs = DENSE) -> CurvatureReads:
    """What a Hessian costs beside a read of ``n`` rows."""
    row_read = max(FLOPS_PER_ELEMENT * hessian.width, FLOPS_PER_LOGIT * hessian.n_params)
    read = row_read * n * costs.read
    return CurvatureReads(hessian.factor_products / read, costs.curvature * hessian.row_products / read)


def expected_reads(m: Any, p: int) -> Any:
    """Exact gradients needed from the solution of a sample of ``m`` rows, with its Hessian as metric.

    The start is ``p / m`` above the optimum, relatively, and every gradient takes away a factor of about ``1.5 p / m``.
    ``m`` may be an array, here and in `cost_in_reads`.
    """
    start = p / np.asarray(m)
    rate = np.minimum(0.7, 1.5 * start)
    return 2.0 + np.maximum(0.0, np.log(start / RELATIVE_GOAL)) / -np.log(rate)


def cost_in_reads(m: Any, n: int, hessian: HessianForm, costs: Costs = DENSE) -> Any:
    """Expected cost of a fit with a sample of ``m`` rows: its gathering, two Hessians' worth of work, the gradients."""
    walks = SAMPLE_READS * m / n * costs.sample / costs.read
    fixed, per_row = curvature_reads(n, hessian, costs)
    return walks + HESSIANS * (fixed + per_row * m) + expected_reads(m, hessian.n_params)


def hessians_price(n: int, size: int, hessian: HessianForm) -> float:
    """Reads that the Hessians of a fit with a sample of ``size`` rows are expected to take the time of."""
    fixed, per_row = curvature_reads(n, hessian)
    return HESSIANS * (fixed + per_row * size)


class CheapestSample(NamedTuple):
    """The size of a sample of least expected cost, and the reads that a fit with it is expected to take the time of."""

    size: int
    reads: float


@functools.lru_cache(maxsize=256)
def cheapest_sample(n: int, hessian: HessianForm, costs: Costs = DENSE) -> CheapestSample:
    """The sample of least expected cost, of between ``5 p`` and ``n`` rows; worked out once for data of one shape.

    A tenth of the rows for a Kronecker product: its mean factors need few, the solution on the sample needs some.
    """
    if hessian.whole:
        least = max(5 * hessian.n_params, 1000)
        sizes = np.unique(np.clip(np.geomspace(least, max(n, least), 60), 1, n))
        size = int(sizes[cost_in_reads(sizes, n, hessian, costs).argmin()])
    else:
        size = min(n, max(n // 10, 20 * hessian.width, 1000))
    return CheapestSample(size, float(cost_in_reads(float(size), n, hessian, costs)))


def sample_size(n: int, hessian: HessianForm, costs: Costs = DENSE) -> int:
    """The size of the `cheapest_sample`."""
    return cheapest_sample(n, hessian, costs).size


def factors_price(n: int, hessian: HessianForm, costs: Costs = DENSE) -> float:
    """Reads that mean factors, and a fit's steps with them, take the time of."""
    size = cheapest_sample(n, hessian, costs).size
    fixed, per_row = curvature_reads(n, hessian, costs)
    step = 1.0 + SOLVED_BY_FACTORS * hessian.width / n
    return FACTORED_STEPS * step + fixed + per_row * size + 2.0 * size / n * costs.sample / costs.read


def leading_directions(hessian: HessianForm) -> int:
    """Directions of the columns along which the Hessian is kept whole where it is too large otherwise; 0 for none.

    As many as leave it with `LEADING_PARAMS` parameters; they are found among the eigenvectors of all columns.
    """
    if hessian.whole or not hessian.has_mean_factors or hessian.width > LEADING_COLUMNS:
        return 0
    n_logits = hessian.n_params // hessian.width
    found = min(hessian.width, LEADING_PARAMS // n_logits)
    return found if found >= LEAST_LEADING else 0


def leading_sample_size(n: int, hessian: HessianForm) -> int:
    """Rows of the sample whose Hessian is kept whole along leading directions."""
    n_logits = hessian.n_params // hessian.width
    return min(n, max(sample_size(n, hessian), LEADING_ROWS * n_logits * leading_directions(hessian)))


def leading_price(n: int, hessian: HessianForm) -> float:
    """Reads that the Hessian along leading directions, and a fit's steps with it, take the time of."""
    r, n_logits = leading_directions(hessian), hessian.n_params // hessian.width
    size = leading_sample_size(n, hessian)
    read = max(FLOPS_PER_ELEMENT * hessian.width, FLOPS_PER_LOGIT * hessian.n_params) * n
    return LEADING_STEPS + (size * (n_logits + 1) * n_logits * r * r + (n_logits * r) ** 3 / 3.0) / read


def gradients_price(p: int, n_curved: float) -> float:
    """Reads that L-BFGS from a diagonal takes on nearly independent columns, of which as many rows have curvature.

    The eigenvalues of the Hessian are ``(1 - r)**2`` to ``(1 + r)**2`` times those of the diagonal, with
    ``r = sqrt(p / n_curved)`` (Marchenko and Pastur 1967), and every gradient takes away a factor of ``r**2``.
    """
    rate = min(0.9, p / n_curved) if n_curved > 0.0 else 0.9
    return 2.0 + math.log(RELATIVE_GOAL) / math.log(rate)


def gram_price(n: int, d: int, n_logits: int) -> float:
    """Reads that the Gram matrix of ``n`` rows takes the time of, and the factors of `GRAM_STEPS` steps with it."""
    return n / FLOPS_PER_ELEMENT + GRAM_STEPS * n_logits * n * n / (3.0 * FLOPS_PER_ELEMENT * d)


def has_room_for_gram(n: int, n_logits: int) -> bool:
    """Whether that matrix and a factor of it for each logit take at most a gigabyte."""
    return (1 + n_logits) * n * n <= 2 * LARGEST_P**2


def columns_pay(n_stored: int, hessian: HessianForm, in_path: bool = False) -> bool:
    """Whether an L1 fit of sparse rows of two classes is expected to end sooner by columns than by Hessians.

    By columns it takes tens of walks over the elements on one thread, whatever the columns; by Hessians a few, and
    models of all parameters, which take their square and more. Of more classes columns alone may take thousands of
    walks.
    """
    p = hessian.n_params
    if p != hessian.width or p < COLUMNS_PARAMS:
        return False
    return n_stored <= (COLUMNS_ELEMENTS + ELEMENTS_PER_SQUARE * p * p) * (IN_A_PATH if in_path else 1.0)


def newton_is_fastest(n: int, p: int) -> bool:
    """Whether Newton's method with all rows is the fastest, because data are few."""
    return n <= TINY_ROWS and n * p * p <= TINY_FLOPS


def sampling_pays(n: int, hessian: HessianForm, costs: Costs = DENSE, ridge: float = 0.0) -> bool:
    """Whether the factorisations are expected to cost less than the reads they save over L-BFGS.

    Not those of mean factors: gradients alone are tried first (`gpu_logreg.solvers.watch.when_slow`). Below a few
    million multiplications everything costs less than the interpreter's steps around it. ``ridge``: of the summed loss.
    """
    p, width = hessian.n_params, hessian.width
    if width > LARGEST_P:
        return False
    if hessian.has_mean_factors:  # of sparse rows the choice is as if samples were dense: many Hessians may be needed
        costs = Costs(costs.read)
    size, reads = cheapest_sample(n, hessian, costs)
    if costs.read < costs.sample and size * width > LARGEST_SAMPLE:
        return False
    if hessian.has_mean_factors and costs == DENSE:
        return hessian.whole
    if costs.read == costs.sample < 1.0 and ridge >= WEAK_RIDGE:
        reads += SPARSE_HESSIANS * p / (n * costs.read)
    return n * p * p + p**3 < SMALL_FLOPS or reads < LBFGS_READS
