"""What one ``gpu-logreg train`` is to do, and the checks of it that need no data."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from sklearn.utils._param_validation import InvalidParameterError

from gpu_logreg.arrays.device_choice import resolve_device, several_devices
from gpu_logreg.errors import DataError
from gpu_logreg.estimators.cross_validation.model import LogisticRegressionCV
from gpu_logreg.estimators.linear.model import LogisticRegression
from gpu_logreg.estimators.network.model import MLPClassifier
from gpu_logreg.files.formats import FileOptions
from gpu_logreg.files.streams import STANDARD_INPUT
from gpu_logreg.reports.page import check_packages
from gpu_logreg.saved.whole_files import check_destination

__all__ = ["TrainingRequest", "check_request", "stops_by_valid"]

_DEFAULT = FileOptions()


@dataclass(frozen=True)
class TrainingRequest:
    """Files, columns and options of one training; see ``gpu-logreg train --help``.

    ``valid_target``, ``valid_skip_rows`` and ``valid_features`` are those of the training rows where they are None.
    """

    data: Path
    target: str | None = None
    model: Path | None = None
    valid: Path | None = None
    valid_target: str | None = None
    valid_skip_rows: int | None = None
    valid_features: str | None = None
    test_size: float | None = None
    positive: str | None = None
    options: FileOptions = _DEFAULT
    drop: tuple[str, ...] = ()
    dtype: str = "float64"
    seed: int = 0
    weight: str | None = None
    checkpoint: Path | None = None
    checkpoint_every: float | None = None
    memory_budget: str | None = None
    scheduler: str | None = None
    workers: int | None = None
    report: Path | None = None

    @property
    def on_cluster(self) -> bool:
        """Whether rows stay on the workers of a cluster."""
        return self.scheduler is not None or self.workers is not None


def check_request(
    request: TrainingRequest, estimator: LogisticRegression | LogisticRegressionCV | MLPClassifier
) -> None:
    """Refuse options that contradict each other, and places that cannot be written, before the data are read.

    Raises
    ------
    DataError, DeviceError
        One line that names the option.
    """
    if request.valid is not None and request.test_size is not None:
        raise DataError("--valid and --test-size exclude each other; give one")
    for option in ("valid_target", "valid_skip_rows", "valid_features"):
        if request.valid is None and getattr(request, option) is not None:
            raise DataError(f"--{option.replace('_', '-')} is for the file of --valid; give that too, or leave it out")
    if request.weight is not None and request.weight in (request.target, *request.drop):
        other = "the target" if request.weight == request.target else "dropped"
        raise DataError(f"--weight {request.weight} is {other} as well; choose one")
    if request.test_size is not None and not 0.0 < request.test_size < 1.0:
        raise DataError(f"--test-size {request.test_size:g} is not a share between 0 and 1")
    other_arrays = request.valid_target or request.valid_features
    if request.valid is not None and _is_same_file(request.valid, request.data) and not other_arrays:
        raise DataError(f"--valid {request.valid} is the file trained on; hold rows back with --test-size 0.2")
    if request.model is not None:
        for data in (request.data, request.valid):
            if data is not None and _is_same_file(request.model, data):
                raise DataError(f"--model {request.model} is a file of data and would be overwritten; choose another")
        check_destination(request.model)
    if request.checkpoint is None and request.checkpoint_every is not None:
        raise DataError("--checkpoint-every is for the file of --checkpoint; give that too, or leave it out")
    if request.checkpoint is not None:
        for option, file in (("DATA", request.data), ("--valid", request.valid), ("--model", request.model)):
            if file is not None and _is_same_file(request.checkpoint, file):
                raise DataError(f"--checkpoint {request.checkpoint} is the file of {option} too; choose another")
        check_destination(request.checkpoint)
    if request.report is not None:
        _check_report(request, request.report)
    try:
        estimator._validate_params()
    except InvalidParameterError as error:
        raise DataError(str(error)) from error
    if not request.on_cluster:  # there a device is the workers'
        _ = several_devices(estimator.device) or resolve_device(estimator.device)


def _check_report(request: TrainingRequest, report: Path) -> None:
    check_packages("--report")
    if request.on_cluster:
        raise DataError(
            "--report is for rows of this machine, and those of a cluster stay on its workers; leave it out"
        )
    files = (("DATA", request.data), ("--valid", request.valid), ("--model", request.model))
    for option, file in (*files, ("--checkpoint", request.checkpoint)):
        if file is not None and _is_same_file(report, file):
            raise DataError(f"--report {report} is the file of {option} too; choose another")
    check_destination(report)


def stops_by_valid(
    estimator: LogisticRegression | LogisticRegressionCV | MLPClassifier, request: TrainingRequest
) -> bool:
    """Whether the rows of ``--valid`` have a say in the training, and are no test of it."""
    return request.valid is not None and getattr(estimator, "early_stopping", False)


def _is_same_file(path: Path, other: Path) -> bool:
    """Whether two paths are one file, or both standard input."""
    streams = {STANDARD_INPUT, "/dev/stdin", "/dev/fd/0"}
    if {str(path), str(other)} <= streams:
        return True
    return os.path.realpath(path) == os.path.realpath(other)
