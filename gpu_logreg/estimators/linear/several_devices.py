"""Rows on several GPUs of one machine: each holds some parts of them, and sums are added in the order of the parts."""

from __future__ import annotations

import contextlib
import functools
import itertools
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager
from typing import Any

from gpu_logreg.arrays.checks import check_sample_weight, first_not_finite, not_finite_error
from gpu_logreg.arrays.device import Device, cuda_index, cupy_to_device, to_device, to_numpy, using
from gpu_logreg.arrays.device_choice import refuse_sparse_on, resolve_device, several_devices
from gpu_logreg.arrays.memory import memory_budget
from gpu_logreg.arrays.on_device import give_back_memory, on_device
from gpu_logreg.errors import DataError, DeviceError
from gpu_logreg.estimators.inputs import given_column
from gpu_logreg.estimators.labels import class_weighted, encode_labels
from gpu_logreg.estimators.prepare import Prepared
from gpu_logreg.estimators.streamed import streams_on
from gpu_logreg.estimators.target import Target
from gpu_logreg.mathematics.losses import Labels
from gpu_logreg.passes.choice import choose
from gpu_logreg.rows.local_parts import LocalParts, edges_of_parts
from gpu_logreg.rows.part import Part, shape_of
from gpu_logreg.rows.parted import PartedDataset
from gpu_logreg.rows.resident import ResidentDataset

__all__ = ["on_devices", "place_of_rows", "prepare_on_devices", "refuse_for_devices"]

_LESS = "storage='float16', fewer rows"

_HOST = Device("cpu", reason="samples are worked on by the host; rows, where they are")


def place_of_rows(model: Any, X: Any, asked: Any, is_stream: bool) -> tuple[Any, AbstractContextManager[None]]:
    """The device, or the list of devices, that a fit is made on, and the context of its memory.

    Parameters
    ----------
    model : LogisticRegression
    X : array, table or stream
    asked : Asked
    is_stream : bool
    """
    device, budget = model.device, model.device_memory_budget
    if budget is not None:
        memory_budget(budget, "device_memory_budget", lambda: 1)  # refuses what is no size
    several = None if is_stream else several_devices(device)
    if several is not None:
        refuse_for_devices(device, X, asked.solver, budget)
        return several, on_devices(several)
    choose_one = streams_on if is_stream else functools.partial(resolve_device, X=X)
    one = choose_one(device, by_blocks=asked.takes_blocks)
    return one, on_device(one)


def refuse_for_devices(device: Any, X: Any, solver: str, budget: Any = None) -> None:
    """Refuse what rows on several devices cannot do.

    Raises
    ------
    DeviceError, DataError
        One line.
    """
    refuse_sparse_on(device, X)
    if cuda_index(X) is not None:
        raise DeviceError(
            f"device={device!r} cannot be used: X is on cuda:{cuda_index(X)}; use device='auto', or give rows of the "
            "host"
        )
    if budget is not None:
        raise DataError("device_memory_budget is for one GPU, and each of several holds its rows; use device='cuda'")
    if solver in ("sgd", "adam"):
        raise DataError(f"solver={solver!r} steps over rows in random order, on one device; use device='cuda'")


@contextlib.contextmanager
def on_devices(devices: Sequence[Device]) -> Iterator[None]:
    """Give the memory of all devices back at the end of the block."""
    with contextlib.ExitStack() as stack:
        for device in devices:
            stack.enter_context(give_back_memory(device))
        yield


def prepare_on_devices(
    X: Any,
    y: Any,
    sample_weight: Any,
    devices: Sequence[Device],
    *,
    impl: str,
    class_weight: Any,
    storage: str,
    column_names: Any = None,
) -> Prepared:
    """As `gpu_logreg.estimators.prepare.prepare`, of rows in host memory.

    Parameters
    ----------
    X, y, sample_weight, class_weight, storage, column_names
        As there.
    devices : sequence of Device
        They get as many parts each, or one less, in consecutive ones.
    impl : str
        Pass of every part.
    """
    classes, labels = encode_labels(cupy_to_device(y, Device("cpu")))
    target, labels = Target(classes), to_numpy(labels)
    loss = target.loss
    assert not isinstance(loss, Labels)
    weights = cupy_to_device(given_column(sample_weight, "sample_weight"), Device("cpu"))
    if weights is not None or class_weight is not None:
        weights = check_sample_weight(weights, X.shape[0])
    if class_weight is not None:
        weights = class_weighted(class_weight, classes, labels, weights)
    edges = edges_of_parts(X.shape[0])
    n = len(edges) - 1
    parts, places = [], []
    for k, (first, stop) in enumerate(itertools.pairwise(edges)):
        rows, device = slice(first, stop), devices[k * len(devices) // n]
        s = None if weights is None else weights[rows]
        if s is not None and not s.any():  # such rows count for nothing, but are to be rows of numbers
            _refuse_not_finite(X[rows], first, column_names)
            continue
        with using(device):
            y_there, s_there = to_device(labels[rows], device), to_device(s, device)
            data = ResidentDataset.from_arrays(
                X[rows], y_there, s_there, device, column_names, storage, None, encoded=True
            )
            parts.append(Part(data, choose(impl, data.rows, device, loss), "", first))
            places.append(device)
    several = LocalParts(parts, places, _LESS)
    return Prepared(PartedDataset(several, several.each(shape_of), column_names), target, _HOST)


def _refuse_not_finite(X: Any, first: int, names: Any) -> None:
    bad = first_not_finite(X)
    if bad is not None:
        name = "" if names is None else f" ({names[bad[1]]!r})"
        raise not_finite_error(bad[0] + first, *bad[1:], name)
