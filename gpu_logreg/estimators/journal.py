"""The journal of a fit in a file: its results in their order, and states of solvers that have no results to recall."""

from __future__ import annotations

import hashlib
import logging
import time
import warnings
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from gpu_logreg.arrays.vector import Array
from gpu_logreg.files.record_file import Place, RecordFile, content_of

__all__ = ["Journal", "SavedState", "digest_of_arrays"]

logger = logging.getLogger("gpu_logreg")

STATE = "state "
"""Beginning of the name of a record of which only the last counts."""

STATE_SECONDS = 1.0
"""Least time between two copies of a state in memory, of which the last is written where a fit ends by an error."""

SUPERSEDED_BYTES, SUPERSEDED_SHARE = 2**24, 0.5
"""Bytes of the file that no longer count, absolutely and of all of it, above which it is written anew."""


class SavedState:
    """The state of a solver, and the reads until then.

    Parameters
    ----------
    journal : Journal
    label : str
        Tells it from those of other solvers of the same fit.
    reads : object with ``total``, or None
        Counter of reads, which is kept with the state.
    """

    def __init__(self, journal: Journal, label: str, reads: Any) -> None:
        self._journal, self._label, self._reads = journal, label, reads

    def last(self) -> dict[str, Array] | None:
        """The arrays of the last state; None where there is none."""
        state = self._journal.state(self._label)
        if state is not None and self._reads is not None:
            self._reads.total = float(state["reads"])
        return state

    def keep(self, make: Callable[[], Mapping[str, Array]]) -> None:
        """Take note of a state, which ``make`` copies, if it is time."""
        reads = {} if self._reads is None else {"reads": np.float64(self._reads.total)}
        self._journal.keep_state(self._label, lambda: {**make(), **reads})


class Journal:
    """The results of a fit, in their order, in a file.

    Parameters
    ----------
    file : RecordFile
    every : float
        Seconds between writes.

    Attributes
    ----------
    n_recalled : int
        Results that were taken from the file.
    """

    def __init__(self, file: RecordFile, every: float) -> None:
        self._file = file
        self._every = every
        self._results = [place for place in file.places[1:] if not place.name.startswith(STATE)]
        self._states = {place.name: place for place in file.places[1:] if place.name.startswith(STATE)}
        self._pending: list[tuple[str, bytes]] = []
        self._pending_states: dict[str, bytes] = {}
        self._written = self._state_made = time.monotonic()
        self._is_told = False
        self.n_recalled = 0

    @property
    def n_left(self) -> int:
        """Results of the file that have not been recalled yet."""
        return len(self._results) - self.n_recalled

    def recall(self, name: str, arguments: Sequence[Any], compute: Callable[[], Sequence[Any]]) -> Sequence[Any]:
        """See `gpu_logreg.passes.recorded.Recall`.

        A result is recalled for the very arguments it was computed for. Where those of the fit are others, as on
        another processor, which rounds in another way, this and all later results are computed anew.
        """
        name = f"{name} {digest_of_arrays(arguments)}"
        if self.n_left:
            place = self._results[self.n_recalled]
            if place.name == name:
                self.n_recalled += 1
                found = self._file.read(place)
                return [_number(found[f"arr_{k}"]) for k in range(len(found))]
            logger.info("checkpoint %s: computed anew from result %d", self._file.path, self.n_recalled + 1)
            self._forget_from(place)
        result = compute()
        # Copied into bytes now: a solver may change the arrays.
        self._pending.append((name, content_of(name, {f"arr_{k}": np.asarray(part) for k, part in enumerate(result)})))
        self._write_in_time()
        return result

    def _forget_from(self, place: Place) -> None:
        kept = [other for other in self._file.places if other.stop <= place.start]
        self._results = self._results[: self.n_recalled]
        self._states = {name: state for name, state in self._states.items() if state.stop <= place.start}
        self._file.keep_only(kept)

    def saved_state(self, label: str, reads: Any = None) -> SavedState:
        """The place of a solver's state."""
        return SavedState(self, label, reads)

    def state(self, label: str) -> dict[str, Array] | None:
        """The last state of that label in the file; None where there is none."""
        place = self._states.get(STATE + label)
        return None if place is None else self._file.read(place)

    def keep_state(self, label: str, make: Callable[[], Mapping[str, Array]]) -> None:
        """Take note of a state, if it is time."""
        now = time.monotonic()
        if now - self._state_made < min(STATE_SECONDS, self._every):
            return
        self._state_made = now
        self._pending_states[STATE + label] = content_of(STATE + label, make())
        self._write_in_time()

    def _write_in_time(self) -> None:
        if time.monotonic() - self._written >= self._every:
            self.write()

    def write(self) -> None:
        """Write what is not yet in the file. Where the disk is full, say so once, and try again the next time."""
        self._written = time.monotonic()
        records = [*self._pending, *self._pending_states.items()]
        if not records:
            return
        try:
            places = self._file.append(records)
            self._pending.clear()
            self._pending_states.clear()
            self._states |= {place.name: place for place in places if place.name.startswith(STATE)}
            self._compact()
        except OSError as error:
            if not self._is_told:
                self._is_told = True
                reason = error.strerror or error
                warnings.warn(
                    f"checkpoint {self._file.path}: cannot be written: {reason}; the fit goes on without",
                    UserWarning,
                    stacklevel=2,
                )

    def _compact(self) -> None:
        """Write the file anew without the states that others have followed, where they are most of it."""
        counts = set(self._states.values())
        places = self._file.places
        kept = [place for place in places if not place.name.startswith(STATE) or place in counts]
        superseded = sum(place.stop - place.start for place in places) - sum(p.stop - p.start for p in kept)
        if superseded < max(SUPERSEDED_BYTES, SUPERSEDED_SHARE * places[-1].stop):
            return
        self._file.keep_only(kept)
        self._states = {place.name: place for place in self._file.places if place.name.startswith(STATE)}
        results = [place for place in self._file.places[1:] if not place.name.startswith(STATE)]
        self._results = results[: len(self._results)]  # the others are of this fit

    def close(self) -> None:
        """Write all, and let other processes have the file."""
        try:
            self.write()
        finally:
            self._file.close()


def digest_of_arrays(arrays: Sequence[Any]) -> str:
    """A digest of numbers and arrays.

    Examples
    --------
    >>> digest_of_arrays([1.0]) == digest_of_arrays([np.nextafter(1.0, 2.0)])
    False
    """
    total = hashlib.sha256()
    for array in arrays:
        total.update(np.ascontiguousarray(array).tobytes())
    return total.hexdigest()[:32]


def _number(array: Array) -> Any:
    """A number as Python's where the array has no axis."""
    return float(array) if array.ndim == 0 else array
