"""What an estimator learns to say of a row: which one of the classes, or which of the labels, any number of them."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gpu_logreg.arrays.device import Device, cupy_to_device, to_numpy
from gpu_logreg.errors import DataError
from gpu_logreg.estimators.inputs import given_column
from gpu_logreg.estimators.labels import encode_classes, holds_labels, sorted_classes
from gpu_logreg.mathematics.losses import Binary, Classes, Labels, loss_of_classes

__all__ = ["Target", "first_target", "known_target", "target_of"]


@dataclass(frozen=True)
class Target:
    """Classes, of which a row has one, or labels, of which it has any number.

    Attributes
    ----------
    classes : ndarray of shape (K,)
        Sorted; of labels their numbers, as scikit-learn has it.
    several : bool
        Whether they are labels.
    loss : Binary, Classes or Labels
        The loss that goes with them, which knows how many logits a row has and what they say.

    Examples
    --------
    >>> target = Target(np.array(["no", "yes"]))
    >>> target.loss.n_logits, target.decide(np.array([-0.3, 0.2])).tolist()
    (1, ['no', 'yes'])
    """

    classes: NDArray[Any]
    several: bool = False
    loss: Binary | Classes | Labels = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        n_classes = len(self.classes)
        self.__dict__["loss"] = Labels(n_classes) if self.several else loss_of_classes(n_classes)

    def decide(self, z: Any) -> Any:
        """The most probable class of every row, or zeros and ones of the labels, by the logits; in host memory."""
        decided = self.loss.decide(z)
        return decided if self.several else self.classes[decided]

    def encode(self, y: Any) -> Any:
        """Numbers of the classes, (n,), or zeros and ones of the labels, (n, L), on the host.

        Raises
        ------
        DataError
            Another kind of ``y``, another number of labels, or a class that is not known.
        """
        if self.several != holds_labels(y) or (self.several and y.shape[1] != len(self.classes)):
            raise DataError(f"the network was trained on {self._said()}, and y has shape {y.shape}")
        return to_numpy(y) if self.several else encode_classes(y, self.classes)

    def refuse_other(self, new: Target) -> None:
        """Refuse to go on from this target with another.

        Raises
        ------
        DataError
            One line that names both.
        """
        if self.several == new.several and np.array_equal(self.classes, new.classes):
            return
        if self.several or new.several:
            raise DataError(
                f"warm_start: the last fit had {self._said()}, and y has {new._said()}; use warm_start=False"
            )
        raise DataError(
            "warm_start can only be used where `y` has the same classes as in the previous call to fit. Previously "
            f"got {_in_a_line(self.classes)}, `y` has {_in_a_line(new.classes)}; use warm_start=False"
        )

    def _said(self) -> str:
        return f"rows of {len(self.classes)} labels" if self.several else f"the classes {_in_a_line(self.classes)}"


def target_of(y: Any) -> Target:
    """The target of a whole ``y``, (n,) classes or (n, L) zeros and ones.

    Raises
    ------
    DataError
        If there is one class only.
    """
    return Target(np.arange(y.shape[1]), several=True) if holds_labels(y) else Target(sorted_classes(y))


def known_target(model: Any) -> Target:
    """That of a fitted network."""
    several = getattr(model, "out_activation_", "") == "logistic" and len(model.intercepts_[-1]) > 1
    return Target(model.classes_, several)


def first_target(model: Any, y: Any, classes: Any) -> Target:
    """That of a call of ``partial_fit``: of the calls before it, or of ``classes``, or of the labels of ``y``.

    Raises
    ------
    DataError
        If ``classes`` are not those known already, or are missing in a first call: the rows of one call need not hold
        all of them. Of several labels the columns of ``y`` are all.
    """
    fitted = hasattr(model, "coefs_")
    if classes is None:
        if not fitted and not holds_labels(y):
            raise DataError(
                "classes must be passed on the first call to partial_fit, as its rows need not hold all of them: "
                "partial_fit(X, y, classes=...)"
            )
        return known_target(model) if fitted else target_of(y)
    classes = sorted_classes(cupy_to_device(given_column(classes, "classes"), Device("cpu")), "classes")
    if not fitted and not holds_labels(y):
        return Target(classes)
    known = known_target(model) if fitted else target_of(y)
    if not np.array_equal(classes, known.classes):
        whose = "of the first call" if fitted else f"of y of shape {y.shape}"
        raise DataError(f"classes={classes.tolist()} are not those {whose}, {known.classes.tolist()}")
    return known


def _in_a_line(classes: Any) -> str:
    return " ".join(str(classes).split())
