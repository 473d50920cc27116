"""What ``--checkpoint`` asks for, before a fit and after it."""

from __future__ import annotations

from gpu_logreg.command.report import Estimator, note
from gpu_logreg.command.training_request import TrainingRequest
from gpu_logreg.estimators.checkpoint import Checkpoint

__all__ = ["checkpoint_of", "leave_checkpoint"]


def checkpoint_of(request: TrainingRequest) -> Checkpoint | None:
    """The checkpoint of a fit; None without ``--checkpoint``."""
    if request.checkpoint is None:
        return None
    if request.checkpoint.exists():
        note(f"{request.checkpoint}: goes on from this checkpoint")
    every = Checkpoint.every if request.checkpoint_every is None else request.checkpoint_every
    return Checkpoint(request.checkpoint, every)


def leave_checkpoint(request: TrainingRequest, estimator: Estimator) -> None:
    """Remove the checkpoint of a fit whose model is saved; one that has run out of time may go on from it."""
    if request.checkpoint is None:
        return
    if estimator.stop_reason_.startswith("max_time"):
        note(f"{request.checkpoint}: the same command goes on from this checkpoint")
    else:
        request.checkpoint.unlink(missing_ok=True)
