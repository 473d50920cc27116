"""Every peer by its name, in the order in which it is run: the quick before the slow."""

from __future__ import annotations

from harness.peers.graphics import CuML, GpuLogregOnGPU, Jax, SklearnOnArrays, TorchOnGPU
from harness.peers.ours import GpuLogreg, Tight
from harness.peers.peer import Peer
from harness.peers.penalised import Adelie, Celer, Glum, LiblinearMulticore, Skglm, Statsmodels
from harness.peers.programs import H2O, Spark, VowpalWabbit
from harness.peers.scikit_learn import Intelex, Sklearn
from harness.peers.torch_lbfgs import Torch

SKLEARN_SOLVERS = ("newton-cholesky", "lbfgs", "newton-cg", "liblinear", "sag", "saga")

PEERS: dict[str, Peer] = {
    peer.name: peer
    for peer in (
        GpuLogreg(),
        GpuLogregOnGPU(),
        Glum(),
        Skglm(),
        Celer(),
        *map(Sklearn, SKLEARN_SOLVERS[:3]),
        Intelex(),
        LiblinearMulticore(),
        *map(Sklearn, SKLEARN_SOLVERS[3:]),
        Torch(),
        Adelie(),
        CuML(),
        TorchOnGPU(),
        Jax(),
        SklearnOnArrays(),
        Statsmodels(),
        VowpalWabbit(),
        H2O(),
        Spark(),
    )
}
TIGHT = Tight()
"""Not a peer: its fit at a very small tolerance is where the minimum is first looked for."""
