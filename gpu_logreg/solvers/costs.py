"""Times of reads, samples and Hessians, and what follows from them: the size of a sample, and whether one pays."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

__all__ = [
    "DENSE",
    "LARGEST_P",
    "Costs",
    "cost_in_reads",
    "curvature_reads",
    "keeps_whole_hessian",
    "pays",
    "sample_size",
    "tiny",
]

FLOPS_PER_ELEMENT = 32.0
"""Floating-point operations of a symmetric product in the time in which one element of ``X`` is read.

Right within a factor of two on two cores; the cost is flat around its minimum. A constant, because a rate timed during
the fit would make the result depend on what else the machine was doing.
"""


WHOLE_P = 2000
"""Parameters of several classes up to which their Hessian is kept whole."""


FLOPS_PER_LOGIT = 16.0
"""As `FLOPS_PER_ELEMENT`, of several logits, whose pass takes longer than the memory."""


def keeps_whole_hessian(p: int, n_logits: int) -> bool:
    """Whether the Hessian of ``p`` parameters is kept whole, not as a Kronecker product."""
    return n_logits == 1 or p <= WHOLE_P


class Costs(NamedTuple):
    """Times relative to those of as many dense rows: of a read, of a walk over a sample, and of summing a Hessian."""

    read: float = 1.0
    sample: float = 1.0
    curvature: float = 1.0


DENSE = Costs()


def curvature_reads(m: Any, n: int, p: int, n_logits: int = 1, costs: Costs = DENSE) -> Any:
    """Reads of the whole data that a Hessian of ``m`` rows, with its factorisation, takes the time of."""
    columns = p / n_logits
    if n_logits == 1:
        flops, rate = costs.curvature * m * p * p + p**3 / 3.0, FLOPS_PER_ELEMENT
    elif keeps_whole_hessian(p, n_logits):
        flops, rate = costs.curvature * m * (n_logits + 1) * p * columns + p**3 / 3.0, FLOPS_PER_LOGIT
    else:
        flops, rate = costs.curvature * 2.0 * m * columns**2 + n_logits * columns**3 / 3.0, FLOPS_PER_LOGIT
    return flops / (rate * n * p * costs.read)


SAMPLE_READS = 12.0
"""Times the sample is walked, in the time of as many rows of the data: its gathering and about ten gradients on it.

Less than it takes on two cores, on purpose: it is the larger sample that makes reads few.
"""


RELATIVE_GOAL = 1e-9


def expected_reads(m: Any, p: int) -> Any:
    """Exact gradients needed from the solution of a sample of ``m`` rows, with its Hessian as metric.

    The start is ``p / m`` above the optimum, relatively, and every gradient takes away a factor of about ``1.5 p / m``.
    ``m`` may be an array, here and in `cost_in_reads`.
    """
    start = p / np.asarray(m)
    rate = np.minimum(0.7, 1.5 * start)
    return 2.0 + np.maximum(0.0, np.log(start / RELATIVE_GOAL)) / -np.log(rate)


def cost_in_reads(m: Any, n: int, p: int, n_logits: int = 1, costs: Costs = DENSE) -> Any:
    """Expected cost of a fit with a sample of ``m`` rows: its gathering, two Hessians' worth of work, the gradients."""
    walks = SAMPLE_READS * m / n * costs.sample / costs.read
    return walks + 1.5 * curvature_reads(m, n, p, n_logits, costs) + expected_reads(m, p)


def sample_size(n: int, p: int, n_logits: int = 1, costs: Costs = DENSE) -> int:
    """The sample size of least expected cost, between ``5 p`` and ``n``.

    A tenth of the rows for a Kronecker product: its mean factors need few, the solution on the sample needs some.
    """
    if not keeps_whole_hessian(p, n_logits):
        return min(n, max(n // 10, 20 * p // n_logits, 1000))
    sizes = np.unique(np.clip(np.geomspace(max(5 * p, 1000), max(n, 5 * p, 1000), 60), 1, n))
    return int(sizes[cost_in_reads(sizes, n, p, n_logits, costs).argmin()])


TINY_ROWS, TINY = 2000, 2e6
"""Rows, and multiplications of a Hessian of them all, up to which Newton's method is over before sampling would pay."""


def tiny(n: int, p: int) -> bool:
    """Whether Newton's method with all rows is the fastest."""
    return n <= TINY_ROWS and n * p * p <= TINY


LBFGS_READS = 60.0
"""Reads that L-BFGS takes on data that are neither easy nor hard, for the choice of ``solver="auto"``."""


LARGEST_P = 8000
"""Beyond it the p x p matrices take more than 0.5 GB each."""


LARGEST_SAMPLE = 2**27
"""Elements of a dense sample of sparse rows: a gibibyte."""


def pays(n: int, p: int, n_logits: int = 1, costs: Costs = DENSE) -> bool:
    """Whether the p x p factorisations are expected to cost less than the reads they save over L-BFGS.

    Below a few million multiplications everything costs less than the interpreter's steps around it.
    """
    if p // n_logits > LARGEST_P:
        return False
    m = sample_size(n, p, n_logits, costs)
    if costs.read < costs.sample and m * p // n_logits > LARGEST_SAMPLE:
        return False
    if n_logits > 1 and costs == DENSE:
        return True
    small = n * p * p + p**3 < 1e8
    return small or cost_in_reads(float(m), n, p, n_logits, costs) < LBFGS_READS
