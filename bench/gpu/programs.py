"""The kernels that ``check.py`` will ask for: texts and options, written down while its steps run on the stand-in.

``python bench/gpu/programs.py FILE [--tests]`` writes them as JSON. Widths, storages and classes are those of a
device, so that the same members of the families are asked for; rows are few. The kernels of both families do nothing
where a step only checks and times them, since compiling them all for the CPU would take minutes.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import gpu.stand_in
from gpu.sizes import Sizes

ROOT = Path(__file__).resolve().parents[2]
RECORD = "GPU_CHECK_RECORD"
FEW = 4096
"""Elements of ``X``."""

EVERYTHING = "everything"
"""Says that no kernel has to run: sizes are those of a device, and so are then the kernels that suit them."""

FAMILIES = ("loss_and_gradient", "softmax_loss_and_gradient")

Program = tuple[str, tuple[str, ...]]


class Recorder:
    """`RawModule`s of the stand-in, written down.

    Attributes
    ----------
    programs : dict
        Text and options of every one, in order.
    idle : bool or EVERYTHING
        Whether kernels of the families, or all, do nothing from now on.
    """

    def __init__(self, cupy: Any) -> None:
        self.programs: dict[Program, None] = {}
        self.idle: Any = False
        self._whole = cupy.RawModule
        cupy.RawModule = self

    def __call__(self, *, code: str, options: Any = (), **more: Any) -> Any:
        """Make a module."""
        assert not more, f"programs.py records text and options, and a kernel has {', '.join(more)}"
        self.programs[code, tuple(options)] = None
        return _Module(self, code, tuple(options))

    def whole(self, code: str, options: tuple[str, ...]) -> Any:
        """A module whose kernels run."""
        return self._whole(code=code, options=options)


class _Module:
    def __init__(self, recorder: Recorder, code: str, options: tuple[str, ...]) -> None:
        self._recorder, self._code, self._options = recorder, code, options

    def get_function(self, name: str) -> Any:
        if self._recorder.idle is EVERYTHING or (self._recorder.idle and name in FAMILIES):
            return _Idle()
        return self._recorder.whole(self._code, self._options).get_function(name)


class _Idle:
    """A kernel that does nothing."""

    def __call__(self, *_: Any, **__: Any) -> None:
        pass


def recorded(steps: tuple[str, ...] | None = None) -> list[Program]:
    """What the steps ask for on the stand-in, which this process has from now on in the place of CuPy."""
    import fake_cupy

    recorder, cupy = Recorder(fake_cupy), sys.modules["cupy"]
    for name, (idle, run) in _runs(cupy).items():
        if steps is None or name in steps:
            recorder.idle = idle
            _forget()
            run()
    return list(recorder.programs)


def _forget() -> None:
    """Kernels that idle in one step may have to run in the next."""
    from gpu_logreg.passes.cuda import classes as cuda_multinomial
    from gpu_logreg.passes.cuda import cublas
    from gpu_logreg.passes.cuda import dense as cuda
    from gpu_logreg.passes.cuda import steps as steps_cuda

    for module in (cublas, cuda, cuda_multinomial, steps_cuda):
        for value in vars(module).values():
            getattr(value, "cache_clear", lambda: None)()


def _runs(cupy: Any) -> dict[str, tuple[Any, Callable[[], Any]]]:
    """By step: whether kernels may idle, and the run."""
    import gpu.ceiling
    from gpu.counters import launch
    from gpu.data import fill_program
    from gpu.families import few_members
    from gpu.launch import Launches
    from gpu.multinomial import multinomial
    from gpu.network import BATCHES, D, networks
    from gpu.passes import passes
    from gpu.products import products
    from gpu.sanitize import run, run_classes, run_networks
    from gpu.smoke import smoke
    from gpu.timing import Budget

    from gpu_logreg.passes.cuda.tuning.family import STORAGES

    sizes, budget = Sizes(), Budget(1e6)

    def over(storage: str, widths: tuple[int, ...]) -> Any:
        return list(passes(cupy, storage, widths, FEW * STORAGES[storage], None, budget, 1))

    def ceilings() -> None:
        for flight in gpu.ceiling.FLIGHTS:
            for tiled in (True, False):
                code, options = gpu.ceiling.read_program(flight, tiled)
                cupy.RawModule(code=code, options=options)
        code, options = fill_program()
        cupy.RawModule(code=code, options=options)

    def storages() -> None:
        for storage in sizes.storages:
            over(storage, sizes.widths)
        over("float64", sizes.float64_widths)
        list(multinomial(cupy, FEW, None, budget, sizes.classes, 1))
        list(products(cupy, FEW, budget, sizes.products, 1))

    def ladder() -> None:
        from gpu.data import cut, filled

        for d in sizes.ladder_widths:
            for storage in sizes.ladder_storages:
                data = cut(cupy, filled(cupy, storage, FEW), storage, d)
                for member in few_members(d, storage, "float32", sizes.ladder_members):
                    Launches(cupy, data, member)

    def counted() -> None:
        sizes.counted_elements = FEW
        launch(cupy, sizes)

    return {
        "smoke": (False, lambda: list(smoke(cupy))),
        "float32": (True, lambda: (ceilings(), over("float32", sizes.widths))),
        "fit": (False, lambda: _fit(cupy, sizes.fit["d"])),
        "storages": (True, storages),
        "ladder": (True, ladder),
        "counters": (True, counted),
        "sanitizers": (True, lambda: (list(run()), list(run_classes()))),
        "sanitized networks": (False, lambda: list(run_networks())),
        "networks": (EVERYTHING, lambda: list(networks(cupy, budget, 2 * max(BATCHES), D, BATCHES, rounds=1))),
        "peers": (True, lambda: over("float32", sizes.peer_widths)),
    }


def _fit(cupy: Any, d: int, n: int = 20_000) -> None:
    from gpu.data import labelled

    from gpu_logreg import LogisticRegression

    X, y = labelled(cupy, n, d)
    LogisticRegression().fit(X, y)
    LogisticRegression(device="cuda").fit(X.get(), y.get().astype("int64"))


def of_tests() -> list[Program]:
    """What the tests marked ``gpu`` ask for: the same tests on the stand-in ask for the same."""
    from gpu.tests import files_with_tests

    with tempfile.TemporaryDirectory() as folder:
        path = [str(ROOT), str(ROOT / "bench"), os.environ.get("PYTHONPATH", "")]
        environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, path)), RECORD: folder}
        environment.pop(gpu.stand_in.ASKED, None)  # the tests put it in its place themselves
        command = [sys.executable, "-m", "pytest", "-q", "-k", "fake", "-p", "no:cacheprovider", "-p", "gpu.programs"]
        done = subprocess.run(
            [*command, *files_with_tests()], cwd=ROOT, env=environment, capture_output=True, text=True
        )
        if done.returncode:
            raise SystemExit(f"the tests fail on the stand-in:\n{done.stdout[-2000:]}")
        found: dict[Program, None] = {}
        for path_of in sorted(Path(folder).iterdir()):
            found |= dict.fromkeys(programs_of(path_of))
    return list(found)


def pytest_configure(config: Any) -> None:
    """As a plugin of pytest: write down what the tests ask the stand-in for."""
    if os.environ.get(RECORD):
        sys.path.insert(0, str(ROOT / "tests" / "stand_in"))
        import fake_cupy

        config.gpu_programs = Recorder(fake_cupy)


def pytest_unconfigure(config: Any) -> None:
    """Keep it."""
    if hasattr(config, "gpu_programs"):
        write(Path(os.environ[RECORD], f"{os.getpid()}.json"), list(config.gpu_programs.programs))


def write(path: Path, programs: list[Program]) -> None:
    """Texts once, and for every program the number of its text and its options."""
    texts = list(dict.fromkeys(code for code, _ in programs))
    known = [{"text": texts.index(code), "options": list(options)} for code, options in programs]
    path.write_text(json.dumps({"texts": texts, "programs": known}), encoding="utf-8")


def programs_of(path: Path) -> Iterator[Program]:
    """What `write` has written."""
    found = json.loads(path.read_text(encoding="utf-8"))
    for program in found["programs"]:
        yield found["texts"][program["text"]], tuple(program["options"])


def main() -> int:
    parser = argparse.ArgumentParser(description="Write down the kernels that check.py will ask for.")
    parser.add_argument("file", type=Path)
    parser.add_argument("--tests", action="store_true", help="those of the tests as well")
    options = parser.parse_args()
    os.environ[gpu.stand_in.ASKED] = "1"
    gpu.stand_in.install_if_asked()
    found = dict.fromkeys(recorded())
    if options.tests:
        found |= dict.fromkeys(of_tests())
    write(options.file, list(found))
    return 0


if __name__ == "__main__":
    sys.exit(main())
