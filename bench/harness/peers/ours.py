"""gpu-logreg itself."""

from __future__ import annotations

from typing import Any, ClassVar

from harness.peers.peer import Peer, Solution, solution_of, tolerances


class GpuLogreg(Peer):
    """Default settings but for ``tol``, on the CPU."""

    name = "gpu-logreg"
    module, package = "gpu_logreg", "gpu-logreg"
    levels = tolerances(1e-3, 1e-4, 1e-6, 1e-8, 1e-10)
    device: ClassVar[str] = "cpu"
    compiles = True  # on the first run of a checkout; later ones load the code from disk

    def prepare(self, training: Any) -> Any:
        import gpu_logreg

        gpu_logreg.LogisticRegression  # noqa: B018 - the door is lazy: the import belongs to the start of the process
        return training

    def fit(self, prepared: Any, **level: Any) -> Solution:
        from gpu_logreg import LogisticRegression

        X, y, C, l1_ratio, fit_intercept = prepared
        model = LogisticRegression(
            C=C, l1_ratio=l1_ratio, fit_intercept=fit_intercept, device=self.device, random_state=0, **level
        )
        return solution_of(model.fit(X, y))


class Tight(GpuLogreg):
    """One fit at a tolerance far below what is asked of anyone."""

    name = "gpu-logreg, to find the minimum"
    levels = tolerances(1e-11)
