"""PyTorch: its L-BFGS on the whole data, as one would write it."""

from __future__ import annotations

import os
from typing import Any, ClassVar

import numpy as np
from harness.peers.peer import Peer, Solution, tolerances


class Torch(Peer):
    """L-BFGS of the mean loss with strong Wolfe steps, in the dtype of the rows."""

    name, module = "torch L-BFGS", "torch"
    levels = tolerances(1e-3, 1e-4, 1e-5, 1e-6, 1e-7, 1e-9)
    penalties = ("ridge", "none")
    device: ClassVar[str] = "cpu"

    def prepare(self, training: Any) -> Any:
        import torch

        torch.set_num_threads(int(os.environ.get("OMP_NUM_THREADS", "1")))
        if training.is_sparse:
            X = _sparse(training.X).to(self.device), _sparse(training.X.T.tocsr()).to(self.device)
        else:
            X = torch.from_numpy(training.X).to(self.device)
        return training, X, torch.from_numpy(training.y).to(self.device)

    def fit(self, prepared: Any, **level: Any) -> Solution:
        import torch

        training, X, y = prepared
        (n, d), K = training.X.shape, training.n_classes
        n_rows = 1 if K == 2 else K
        made = {"dtype": X[0].dtype if training.is_sparse else X.dtype, "device": self.device, "requires_grad": True}
        W, b = torch.zeros((d, n_rows), **made), torch.zeros(n_rows, **made)
        target = y.to(W.dtype) if K == 2 else y

        def mean_value() -> Any:
            optimizer.zero_grad()
            z = _product()(W, *X) if training.is_sparse else X @ W
            z = z + b if training.fit_intercept else z
            if K == 2:
                loss = torch.nn.functional.binary_cross_entropy_with_logits(z[:, 0], target)
            else:
                loss = torch.nn.functional.cross_entropy(z, target)
            found = loss + 0.5 * (W * W).sum() / (training.C * n)
            found.backward()
            return found

        optimizer = torch.optim.LBFGS(
            [W, b] if training.fit_intercept else [W],
            max_iter=5_000,
            max_eval=10_000,
            history_size=10,
            tolerance_grad=level["tol"],
            tolerance_change=level["tol"] * 1e-4,
            line_search_fn="strong_wolfe",
        )
        optimizer.step(mean_value)
        return W.detach().cpu().numpy().T.astype(np.float64), b.detach().cpu().numpy().astype(np.float64)


def _sparse(X: Any) -> Any:
    import torch

    parts = torch.from_numpy(X.indptr), torch.from_numpy(X.indices), torch.from_numpy(X.data)
    return torch.sparse_csr_tensor(*parts, size=X.shape)


def _product() -> Any:
    """``X W`` of sparse rows whose derivative is taken by the transpose, which is kept: PyTorch would make it again."""
    import torch

    class Product(torch.autograd.Function):
        @staticmethod
        def forward(context: Any, W: Any, X: Any, transposed: Any) -> Any:
            context.transposed = transposed
            return X @ W

        @staticmethod
        def backward(context: Any, dz: Any) -> Any:
            return context.transposed @ dz, None, None

    return Product.apply
