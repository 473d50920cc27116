"""The training loop that a user of PyTorch writes, eager and compiled."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any, NamedTuple

from gpu.peers import TORCH_DEVICE

from gpu_logreg.mathematics.network import Network
from gpu_logreg.rows.block import Rows


class Trainer(NamedTuple):
    """A way to train.

    Attributes
    ----------
    losses : function (order of an epoch) -> mean loss
    epoch : function ()
        One epoch that shuffles for itself; it may end before the device has.
    note : str
        How it runs.
    """

    losses: Callable[[Any], float]
    epoch: Callable[[], Any]
    note: str = ""


def torch_trainer(rows: Rows, network: Network, params: Any, batch: int, rate: float, mode: str | None) -> Trainer:
    """The loop a user of PyTorch writes; with a mode, network, loss and backward go through ``torch.compile``.

    A batch is gathered outside of what is compiled, since a graph would first copy all rows that it is given.
    """
    import torch

    if TORCH_DEVICE == "cuda" and not torch.cuda.is_available():
        raise RuntimeError("torch finds no CUDA device")
    X, labels = torch.from_dlpack(rows.X), torch.from_dlpack(rows.y).to(torch.float32)
    (n, d), units = X.shape, network.sizes[1]
    net = torch.nn.Sequential(torch.nn.Linear(d, units), torch.nn.Tanh(), torch.nn.Linear(units, 1)).to(X.device)
    with torch.no_grad():
        for layer, (W, b) in zip((net[0], net[2]), network.unpack(params), strict=True):
            layer.weight.copy_(torch.from_numpy(W.T.copy()))
            layer.bias.copy_(torch.from_numpy(b.copy()))
    adam = "fused Adam"
    try:
        stepper = torch.optim.Adam(net.parameters(), lr=rate, fused=True)
    except (RuntimeError, TypeError):
        stepper, adam = torch.optim.Adam(net.parameters(), lr=rate, foreach=True), "foreach Adam"

    def loss_of(x: Any, y: Any) -> Any:
        return torch.nn.functional.binary_cross_entropy_with_logits(net(x)[:, 0], y)

    loss_of_batch = loss_of
    if mode is not None:
        loss_of_batch = torch.compile(loss_of, dynamic=False, mode=mode)  # two sizes of a batch, a graph for each

    def step(at: Any) -> Any:
        x, y = X.index_select(0, at), labels.index_select(0, at)
        if mode is not None:
            torch.compiler.cudagraph_mark_step_begin()
        loss = loss_of_batch(x, y)
        stepper.zero_grad(set_to_none=True)
        loss.backward()
        stepper.step()
        return loss

    def losses(order: Any) -> float:
        order, total = torch.from_numpy(order).to(X.device), 0.0
        for first in range(0, n, batch):
            at = order[first : first + batch]
            total += len(at) * float(step(at).detach())
        return total / n

    def epoch() -> None:
        order = torch.randperm(n, device=X.device)
        for first in range(0, n, batch):
            step(order[first : first + batch])

    how = "eager" if mode is None else f"network, loss and backward by torch.compile, mode {mode!r}"
    return Trainer(losses, epoch, f"torch {torch.__version__}, {how}, {adam}, no TF32, shuffled on the device")


def full_float32() -> None:
    """Products of PyTorch in float32, as CuPy's are, and not in TF32; its own default, which another may have set."""
    try:
        import torch
    except ImportError:
        return
    torch.set_float32_matmul_precision("highest")


def forget_compiled() -> None:
    """Drop what was compiled for another batch size: PyTorch compiles a function for so many sizes only."""
    torch: Any = sys.modules.get("torch")
    if torch is not None:
        torch.compiler.reset()
