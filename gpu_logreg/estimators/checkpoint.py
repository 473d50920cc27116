"""Checkpoints: a fit that may be killed at any moment, and goes on where it was when it is begun again.

What a fit has computed from all rows is kept in a file as it comes. The same call of ``fit`` recalls it instead of
reading rows, goes the same way again, and ends in the same bits: see `gpu_logreg.passes.recorded`. Trainings that step
from batch to batch, and fits by columns, keep their state after an epoch or an iteration instead.
"""

from __future__ import annotations

import contextlib
import importlib
import json
import logging
import os
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from gpu_logreg.errors import CheckpointError
from gpu_logreg.estimators.callbacks import WRAPPER_FRAMES
from gpu_logreg.estimators.journal import Journal, digest_of_arrays
from gpu_logreg.files.record_file import RecordFile, content_of
from gpu_logreg.rows.digest import digest_of
from gpu_logreg.rows.resident import ResidentDataset

__all__ = ["Checkpoint", "journal_of"]

logger = logging.getLogger("gpu_logreg")


@dataclass(frozen=True)
class Checkpoint:
    """Where a fit keeps what it has reached, and how often it writes it.

    Parameters
    ----------
    path : path
        A file. Where it is not there the fit begins; where it is the fit goes on. It stays when the fit ends, so that
        the same call ends at once; delete it when the model is saved.
    every : float, default=30
        Seconds between two writes; 0 for one after every read. What was computed in between is computed again. One that
        ends by an error, or by Ctrl-C, is written to the last.

    Examples
    --------
    >>> import tempfile
    >>> from sklearn.datasets import load_breast_cancer
    >>> from gpu_logreg import Checkpoint, LogisticRegression
    >>> X, y = load_breast_cancer(return_X_y=True)
    >>> folder = tempfile.TemporaryDirectory()
    >>> model = LogisticRegression().fit(X, y, checkpoint=Checkpoint(folder.name + "/fit.checkpoint", every=60))
    >>> again = LogisticRegression().fit(X, y, checkpoint=folder.name + "/fit.checkpoint")  # recalled
    >>> bool((model.coef_ == again.coef_).all())
    True
    >>> folder.cleanup()
    """

    path: str | os.PathLike[str]
    every: float = 30.0


@contextlib.contextmanager
def journal_of(
    checkpoint: str | os.PathLike[str] | Checkpoint | None,
    model: Any,
    data: Sequence[ResidentDataset | None],
    ignored: Sequence[str],
    start: Sequence[Any] = (),
) -> Iterator[Journal | None]:
    """The journal of a fit, open for a block; None for no checkpoint.

    Parameters
    ----------
    checkpoint : path, Checkpoint or None
    model : estimator
    data : sequence of ResidentDataset or None
        Prepared rows, and others that the fit depends on.
    ignored : sequence of str
        Parameters of the model that do not change the way of a fit, but where it ends and whom it tells.
    start : sequence of arrays
        Weights that the fit starts from, if it is given any.

    Raises
    ------
    CheckpointError
        The file is none, is in use, or is of another fit or of other data; the message says which and what to do.
    """
    if checkpoint is None:
        yield None
        return
    if not isinstance(checkpoint, Checkpoint):
        checkpoint = Checkpoint(checkpoint)
    if not checkpoint.every >= 0:
        raise CheckpointError(f"checkpoint: every={checkpoint.every!r} is not a number of seconds; use 30")
    try:
        path = Path(checkpoint.path)
    except TypeError as error:
        raise CheckpointError(f"checkpoint={checkpoint.path!r} is not the name of a file") from error
    about = _about(model, data, ignored) | {"start": digest_of_arrays(start)}
    file = RecordFile(path, content_of("fit", {"about": np.array(json.dumps(about))}))
    journal = Journal(file, checkpoint.every)
    try:
        _refuse_other(path, json.loads(str(file.read(file.places[0])["about"])), about)
        if file.is_damaged:
            warnings.warn(
                f"checkpoint {path}: its last {file.lost:,} bytes are damaged; the fit goes on from before them",
                UserWarning,
                stacklevel=6 + WRAPPER_FRAMES,
            )
        if len(file.places) > 1:
            logger.info("checkpoint %s: goes on after %d results", path, len(file.places) - 1)
        yield journal
    finally:
        journal.close()


def _about(model: Any, data: Sequence[ResidentDataset | None], ignored: Sequence[str]) -> dict[str, Any]:
    """What a checkpoint is of, as JSON holds it."""
    rows = data[0]
    assert rows is not None
    parameters = {name: value for name, value in model.get_params(deep=False).items() if name not in ignored}
    plain = (str, int, float, dict, tuple, list, type(None))
    return {
        "version": str(importlib.import_module("gpu_logreg").__version__),
        "estimator": type(model).__name__,
        "parameters": {
            name: repr(value) if isinstance(value, plain) else type(value).__name__
            for name, value in parameters.items()
        },
        "rows": rows.n_rows,
        "columns": rows.n_columns,
        "digest": [digest_of(part) for part in data if part is not None],
    }


def _refuse_other(path: Path, old: dict[str, Any], new: dict[str, Any]) -> None:
    """Raise where a checkpoint is of something else."""
    remedy = "delete it, or choose another file"
    if old["version"] != new["version"]:
        raise CheckpointError(f"{path}: is of gpu-logreg {old['version']}, and this is {new['version']}; {remedy}")
    if old["estimator"] != new["estimator"]:
        raise CheckpointError(f"{path}: is a checkpoint of {old['estimator']}, not {new['estimator']}; {remedy}")
    for name, value in new["parameters"].items():
        if (was := old["parameters"].get(name)) != value:
            raise CheckpointError(f"{path}: is of a fit with {name}={was}, and this one has {name}={value}; {remedy}")
    if (old["rows"], old["columns"]) != (new["rows"], new["columns"]):
        raise CheckpointError(
            f"{path}: is of {old['rows']:,} rows of {old['columns']:,} columns, and these are "
            f"{new['rows']:,} of {new['columns']:,}; {remedy}"
        )
    if old["start"] != new["start"]:
        raise CheckpointError(f"{path}: is of a fit from other weights; {remedy}")
    if old["digest"] != new["digest"]:
        raise CheckpointError(f"{path}: is of other data: X, y or the weights have changed; {remedy}")
