"""Errors of gpu-logreg: one line each, naming the culprit and the remedy."""

from __future__ import annotations

__all__ = [
    "CheckpointError",
    "ClusterError",
    "DataError",
    "DeviceError",
    "GpuLogregError",
    "ImplementationError",
    "MissingDependencyError",
    "ModelFileError",
    "NotNumbersError",
]


class GpuLogregError(Exception):
    """Root of every error that gpu-logreg raises on purpose."""


class DataError(GpuLogregError, ValueError):
    """The data, a file of data or a parameter is not usable as given."""


class NotNumbersError(DataError, TypeError):
    """Rows hold what is no number; a TypeError too, as NumPy and scikit-learn raise for such values."""


class ModelFileError(GpuLogregError, ValueError):
    """A model file is not one, is damaged, or is newer than the program."""


class CheckpointError(GpuLogregError, ValueError):
    """A checkpoint is not one, is of another fit or other data, is damaged, or is in use."""


class ClusterError(GpuLogregError, RuntimeError):
    """A cluster is not there, or is no longer there; the message says what to do."""


class DeviceError(GpuLogregError, RuntimeError):
    """The device asked for cannot be used; the message gives the reason and what to install."""


class ImplementationError(GpuLogregError, ValueError):
    """The implementation asked for by name cannot take these rows; the message gives the reason."""


class MissingDependencyError(GpuLogregError, ImportError):
    """An optional package is needed; the message names the extra to install."""
