"""The report of a fitted model on labelled rows. What makes it is imported when one is asked for."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from gpu_logreg.reports.report import Report

__all__ = ["Reported"]


class Reported:
    """`report` of every model of classes."""

    def report(
        self: Any, X: Any, y: Any = None, sample_weight: Any = None, *, summary: Any = None, title: str | None = None
    ) -> Report:
        """A page on the model and how it does on labelled rows: figures, tables, coefficients, parameters, versions.

        It needs matplotlib and Jinja2 (``pip install 'gpu-logreg[report]'``). Figures are by scikit-learn's metrics.

        Parameters
        ----------
        X, y, sample_weight : as of `score`
            Rows, best such as the model was not fitted on.
        summary : Summary, optional
            What `summary` gave for the rows of the fit, for the intervals of the coefficients. Without it, and without
            a penalty, they are those of ``X`` and ``y`` where these are the rows of the fit.
        title : str, optional

        Returns
        -------
        Report
            ``report.save("report.html")`` writes it, and a notebook shows it.

        Raises
        ------
        DataError
            Rows without labels or of other classes; a network of several labels.
        MissingDependencyError
        """
        from gpu_logreg.estimators.report_page import labelled_rows, report_of, summary_or_reason
        from gpu_logreg.reports.page import check_packages

        check_packages("a report")
        start = time.perf_counter()
        rows = labelled_rows(self, X, y, sample_weight)
        why = ""
        if summary is None:
            summary, why = summary_or_reason(self, X, y, sample_weight)
        timings = {"predictions": f"{time.perf_counter() - start:.2f} s"}
        return report_of(self, {"these rows": rows}, summary=summary, why=why, title=title, timings=timings)
