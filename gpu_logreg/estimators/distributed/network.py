"""Networks on Dask collections: rows stay on the workers, which walk over their shares of every batch."""

from __future__ import annotations

from typing import Any

from distributed import Client

from gpu_logreg.arrays.blocks import blas_on_one_thread
from gpu_logreg.arrays.device import numpy_defaults
from gpu_logreg.errors import DataError
from gpu_logreg.estimators.checkpoint import journal_of
from gpu_logreg.estimators.distributed.collections import blocks_of
from gpu_logreg.estimators.distributed.on_cluster import OnCluster, leaving_room
from gpu_logreg.estimators.distributed.parts import prepare_parts
from gpu_logreg.estimators.network import model as network
from gpu_logreg.estimators.network.parameters import MAY_DIFFER, hidden_sizes
from gpu_logreg.estimators.network.parted import fit_parts, refuse_extremes_of_parts
from gpu_logreg.estimators.target import known_target
from gpu_logreg.rows.parted import PartedDataset

__all__ = ["MLPClassifier"]


class MLPClassifier(OnCluster, network.MLPClassifier):
    """`gpu_logreg.MLPClassifier` for rows on the workers of a Dask cluster.

    A batch takes from every partition the share of its rows that the batch has of all rows, rounded up or down at
    random, in an order that the partition shuffles by ``random_state``, its number and the epoch. The workers send the
    gradients of their shares, and the client adds them in the order of the partitions and takes the step. So no bit of
    the result depends on the number of workers or their speed; it does on where the partitions are cut. A step is a
    message to every worker and back: batches are to be large.

    Parameters
    ----------
    hidden_layer_sizes : int or sequence of int, default=(100,)
    activation : {"relu", "tanh", "logistic", "identity"}, default="relu"
    client : distributed.Client or None, default=None
        None for the current one. It is neither copied nor pickled with the model.
    **parameters
        Those of `gpu_logreg.MLPClassifier`; ``device`` is that of every worker. ``batch_size="auto"`` is 200 rows for
        every partition, or a 50th of all rows where that is less, but at least 200. With ``early_stopping`` every
        partition holds back the share of its rows, whatever their class. A row has one class.

    Examples
    --------
    >>> import dask.array as da
    >>> from distributed import Client
    >>> from sklearn.datasets import make_moons
    >>> from gpu_logreg.dask import MLPClassifier
    >>> X, y = make_moons(200, noise=0.1, random_state=0)
    >>> with Client(processes=False, n_workers=2, dashboard_address=":0") as client:
    ...     model = MLPClassifier((16,), activation="tanh", solver="lbfgs")
    ...     model = model.fit(da.from_array(X, chunks=(100, 2)), da.from_array(y, chunks=100))
    >>> round(model.score(X, y), 2)
    1.0
    """

    __module__ = "gpu_logreg.dask"

    _local = network.MLPClassifier

    def __init__(
        self,
        hidden_layer_sizes: Any = (100,),
        activation: str = "relu",
        *,
        client: Client | None = None,
        **parameters: Any,
    ) -> None:
        super().__init__(hidden_layer_sizes, activation, **parameters)
        self.client = client

    _parameter_constraints = {  # noqa: RUF012 - as scikit-learn's
        **network.MLPClassifier._parameter_constraints,
        "client": [object, None],
    }

    def partial_fit(self, X: Any, y: Any, classes: Any = None, sample_weight: Any = None) -> MLPClassifier:
        """Not for rows on a cluster."""
        raise DataError("partial_fit takes rows in memory; fit those on a cluster, with warm_start=True to go on")

    @leaving_room()
    def fit(self, X: Any, y: Any = None, sample_weight: Any = None, *, checkpoint: Any = None) -> MLPClassifier:
        """Fit the model.

        Parameters
        ----------
        X, y, sample_weight : Dask collections, or sequences of delayed blocks
            As of `gpu_logreg.dask.LogisticRegression.fit`.
        checkpoint : path or Checkpoint, optional
            File of the client's from which the same call goes on after the client was killed, to the same bits.

        Returns
        -------
        self : MLPClassifier

        Raises
        ------
        DataError, ClusterError
            As of `gpu_logreg.dask.LogisticRegression.fit`.
        """
        self._validate_params()
        hidden_sizes(self.hidden_layer_sizes)
        client = self._client()
        going_on = self.warm_start and hasattr(self, "coefs_")
        before = (self.n_features_in_, known_target(self)) if going_on else None
        if self.impl not in ("auto", "reference"):
            raise DataError(f"impl={self.impl!r} is for rows in memory; steps on a cluster have 'reference' alone")
        try:
            blocks = blocks_of(X, y, sample_weight)
            prepared, names = prepare_parts(client, blocks, None, self._options("reference"))
            data = prepared.data
            assert isinstance(data, PartedDataset)
            self.n_features_in_ = data.n_columns
            self.__dict__.pop("feature_names_in_", None)
            if names is not None:
                self.feature_names_in_ = names
            if before is not None:
                self._check_same(before, prepared.target)
            refuse_extremes_of_parts(data)
            start = [*self.coefs_, *self.intercepts_] if going_on else []
            with (
                numpy_defaults(),
                blas_on_one_thread(),
                journal_of(checkpoint, self, [prepared.data], (*MAY_DIFFER, "client"), start) as journal,
            ):
                fit_parts(self, prepared, data, going_on, journal)
        except BaseException:
            self._forget()
            raise
        self._warn(False)
        return self
