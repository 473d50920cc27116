"""Labels and weights that come block by block, as numbers of classes that take a byte a row."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from gpu_logreg.arrays.vector import Float64Vector, HostArray
from gpu_logreg.errors import DataError
from gpu_logreg.estimators.label_types import label_array, label_text, numbers_among, of_one_type
from gpu_logreg.estimators.labels import refuse_continuous, weights_by_class

__all__ = ["LabelsByBlock", "narrow_codes", "numbers_of_texts", "table_of_class_weights"]


class LabelsByBlock:
    """Collects labels block by block; the classes are known at the end.

    Attributes
    ----------
    nbytes : int
        Bytes of what is collected.

    Examples
    --------
    >>> labels = LabelsByBlock()
    >>> labels.add(np.array(["no", "yes"]), "block 0: ")
    >>> labels.add(np.array(["maybe", "no"]), "block 1: ")
    >>> labels.encoded()
    (array(['maybe', 'no', 'yes'], dtype='<U5'), array([1, 2, 0, 1], dtype=uint8))
    """

    def __init__(self) -> None:
        self._known: NDArray[Any] | None = None
        self._ids: NDArray[np.int64] = np.zeros(0, np.int64)
        self._dtypes: list[Any] = []
        self._codes: list[HostArray] = []
        self.nbytes = 0

    def add(self, y: NDArray[Any], place: str) -> None:
        """Collect the labels of a block, from `gpu_logreg.estimators.label_types.label_array`.

        Raises
        ------
        DataError
            Labels of another type than those before, beginning with ``place``.
        """
        typed = of_one_type(y)
        if y.dtype not in self._dtypes:
            self._dtypes.append(y.dtype)
        if self._known is None:
            self._know(np.unique(typed))
        assert self._known is not None
        numbers, is_unknown = numbers_among(typed, self._known)
        if is_unknown.any():
            new = np.unique(typed[is_unknown])
            known = self._known
            if numbers_among(known, new)[1].all() and (known.dtype.kind in "biuf") != (new.dtype.kind in "biuf"):
                raise DataError(
                    f"{place}y holds {label_text(new[0])}, and blocks before it {label_text(known[0])}; give labels of "
                    "one type"
                )
            self._know(new)
            numbers, _ = numbers_among(typed, self._known)
        codes = narrow_codes(self._ids[numbers], len(self._known))
        self._codes.append(codes)
        self.nbytes += codes.nbytes

    def add_of_file(self, y: NDArray[Any], place: str) -> None:
        """The same of labels as they are read from a file; every error is a `DataError` that begins with ``place``."""
        try:
            self.add(label_array(y), place)
        except DataError:
            raise
        except ValueError as error:  # scikit-learn's, of numbers that are not whole
            raise DataError(f"{place}{str(error).splitlines()[0]}") from error

    def _know(self, new: NDArray[Any]) -> None:
        refuse_continuous(np.repeat(new, 2))  # each twice: scikit-learn warns where most labels occur once
        known = new if self._known is None else np.concatenate([self._known, new])
        ids = np.concatenate([self._ids, len(self._ids) + np.arange(len(new))])
        order = np.argsort(known, kind="stable")
        self._known, self._ids = known[order], ids[order]

    def encoded(self) -> tuple[NDArray[Any], HostArray]:
        """The classes, sorted, and the number of the class of every row.

        Raises
        ------
        DataError
            If there is one class only.
        """
        assert self._known is not None
        if len(self._known) == 1:
            raise DataError(
                "This solver needs samples of at least 2 classes in the data, "
                f"but the data contains only one class: {label_text(self._known[0])}"
            )
        place = np.empty(len(self._ids), np.int64)
        place[self._ids] = np.arange(len(self._ids))
        table = narrow_codes(place, len(place))
        codes = np.empty(sum(map(len, self._codes)), table.dtype)
        first = 0
        for part in self._codes:
            codes[first : first + len(part)] = table[part]
            first += len(part)
        self._codes = [codes]  # the answer is the same when it is asked for again
        self._ids = np.arange(len(self._known))
        dtype = self._dtypes[0] if len(self._dtypes) == 1 else np.result_type(*self._dtypes)
        return self._known.astype(dtype), codes


def narrow_codes(codes: HostArray, n_classes: int) -> HostArray:
    """Numbers of classes in the narrowest dtype that holds them all."""
    return codes.astype(np.uint8 if n_classes <= 256 else np.uint16 if n_classes <= 65536 else np.int32, copy=False)


def numbers_of_texts(classes: NDArray[Any], codes: HostArray) -> tuple[NDArray[Any], HostArray]:
    """Classes that are texts as numbers, where all of them are whole ones, and the numbers of the classes of the rows.

    Examples
    --------
    >>> numbers_of_texts(np.array(["10", "9"]), np.array([0, 1, 1], np.uint8))
    (array([ 9, 10]), array([1, 0, 0], dtype=uint8))
    """
    try:
        numbers = classes.astype(np.float64)
        whole = numbers.astype(np.int64)
    except (ValueError, OverflowError):
        return classes, codes
    if not (whole == numbers).all():
        return classes, codes
    found, place = np.unique(whole, return_inverse=True)
    return found, narrow_codes(place, len(found))[codes]


def table_of_class_weights(
    class_weight: Any, classes: NDArray[Any], codes: HostArray, sample_weight: HostArray | None, parts: list[slice]
) -> Float64Vector | None:
    """The weight of every class; None for 1. Sums of weights are added block by block."""
    if class_weight is None:
        return None
    sums = np.zeros(len(classes))
    for part in parts:
        s = None if sample_weight is None else sample_weight[part]
        sums += np.bincount(codes[part], s, minlength=len(classes))
    return weights_by_class(class_weight, classes, sums)
