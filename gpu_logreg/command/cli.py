"""The command line ``gpu-logreg``: from files to a saved model and back. It holds no mathematics.

Exit codes: 0 done; 2 bad input, with one line on standard error; 130 interrupted, 143 terminated; 1 anything
unforeseen.
"""

from __future__ import annotations

import contextlib
import errno
import os
import signal
import sys
import warnings
from pathlib import Path
from typing import Annotated, Any, NoReturn

from gpu_logreg.command.interruption import answer_signals, ending, open_closed_streams, received, work_is_done

if __name__ == "__main__":  # before what takes time to import; as gpu_logreg.__main__ does
    open_closed_streams()
    answer_signals()

try:
    import rich  # noqa: F401
    import typer
except ImportError:
    sys.exit("error: the command line needs more packages; install them with: pip install 'gpu-logreg[cli]'")

from gpu_logreg import __version__
from gpu_logreg.command.lines import note
from gpu_logreg.command.options import (
    Activation,
    Alpha,
    BatchSize,
    C,
    ClassWeight,
    Data,
    Decimal,
    Drop,
    Dtype,
    DtypeName,
    Features,
    Format,
    Header,
    HeaderAsTrained,
    Hidden,
    Impl,
    ImplName,
    Keep,
    L1Ratio,
    LearningRate,
    MaxIter,
    Missing,
    Penalty,
    Positive,
    Sep,
    SkipRows,
    Solver,
    SolverName,
    Storage,
    StorageName,
    Target,
    TestSize,
    Text,
    Thousands,
    Tol,
    Valid,
    ValidSkipRows,
    Weight,
)
from gpu_logreg.errors import DataError, GpuLogregError
from gpu_logreg.saved.whole_files import forget_written_files, written_files

__all__ = ["app", "main"]

_INTERRUPTED = 130
_OUTPUT_FAULTS = (errno.EIO, errno.EFBIG, errno.ENOSPC, errno.EDQUOT)

app = typer.Typer(
    add_completion=False,
    rich_markup_mode=None,  # plain help fits into 80 columns, boxes do not
    pretty_exceptions_enable=False,
    help="Train, test and use logistic regression on large data, on a CPU or an NVIDIA GPU.",
)


@app.callback(invoke_without_command=True)
def _without_command(
    context: typer.Context,
    version: Annotated[bool, typer.Option("--version", help="Show the version and exit.")] = False,
) -> None:
    if version:
        print(f"gpu-logreg {__version__}")
        raise typer.Exit
    if context.invoked_subcommand is None:
        print(context.get_help())


@app.command()
def train(
    data: Data,
    target: Target = None,
    model: Annotated[Path | None, typer.Option(metavar="FILE", help="Where to save the model.")] = None,
    positive: Positive = None,
    test_size: TestSize = None,
    valid: Valid = None,
    valid_target: Annotated[str | None, typer.Option(metavar="COLUMN", help="As --target, if not the same.")] = None,
    valid_skip_rows: ValidSkipRows = None,
    valid_features: Annotated[str | None, typer.Option(metavar="ARRAY", help="As --features, if not the same.")] = None,
    header: Header = True,
    sep: Sep = None,
    skip_rows: SkipRows = 0,
    format_: Format = None,
    features: Features = None,
    decimal: Decimal = None,
    thousands: Thousands = None,
    missing: Missing = None,
    text: Text = None,
    weight: Weight = None,
    drop: Drop = None,
    dtype: Dtype = DtypeName.float64,
    c: C = 1.0,
    penalty: Penalty = None,
    l1_ratio: L1Ratio = None,
    class_weight: ClassWeight = None,
    intercept: Annotated[bool, typer.Option("--intercept/--no-intercept", help="Fit an intercept.")] = True,
    hidden: Hidden = None,
    activation: Activation = None,
    alpha: Alpha = None,
    batch_size: BatchSize = None,
    learning_rate: LearningRate = None,
    tol: Tol = None,
    max_iter: MaxIter = None,
    solver: Solver = SolverName.auto,
    device: Annotated[str, typer.Option(metavar="NAME", help="auto, cpu, cuda or cuda:N.")] = "auto",
    impl: Impl = ImplName.auto,
    storage: Storage = StorageName.auto,
    seed: Annotated[int, typer.Option(metavar="N", min=0, help="For the rows held back and the solver's sample.")] = 0,
) -> None:
    """Train a model on a file, test it, and save it.

    \b
    Example:
    gpu-logreg train people.csv --target income --test-size 0.2 --model income.model
    gpu-logreg train people.csv --target income --hidden 128 --model income.model
    """  # noqa: D301 - \b keeps the line whole in the help
    from gpu_logreg.command.train import TrainingRequest, train_on_file
    from gpu_logreg.files.formats import FileOptions

    given: dict[str, Any] = {
        "C": c,
        "penalty": penalty and str(penalty),
        "l1_ratio": l1_ratio,
        "class_weight": class_weight and str(class_weight),
        "fit_intercept": intercept,
        "hidden": tuple(hidden or ()),
        "activation": activation and str(activation),
        "alpha": alpha,
        "batch_size": batch_size,
        "learning_rate": learning_rate,
        "tol": tol,
        "max_iter": max_iter,
        "solver": str(solver),
        "device": device,
        "impl": str(impl),
        "storage": str(storage),
        "random_state": seed,
    }
    request = TrainingRequest(
        data,
        target,
        model,
        valid,
        valid_target,
        valid_skip_rows,
        valid_features,
        test_size,
        positive,
        FileOptions(
            format_ and str(format_),
            header,
            sep,
            skip_rows,
            features,
            decimal=decimal,
            thousands=thousands,
            missing=tuple(missing) if missing else None,
            text=tuple(text or ()),
        ),
        tuple(drop or ()),
        str(dtype),
        seed,
        weight,
    )
    train_on_file(request, given)


@app.command()
def predict(
    model: Annotated[Path, typer.Argument(metavar="MODEL", help="Model that train saved.")],
    data: Annotated[Path, typer.Argument(metavar="DATA", help="File of raw rows, as in training; - for a pipe.")],
    proba: Annotated[bool, typer.Option("--proba", help="Write the probability of each class as well.")] = False,
    output: Annotated[str, typer.Option(metavar="FILE", help="CSV file to write, - for standard output.")] = "-",
    header: HeaderAsTrained = None,
    sep: Sep = None,
    skip_rows: SkipRows = 0,
    format_: Format = None,
    features: Features = None,
    decimal: Decimal = None,
    thousands: Thousands = None,
    missing: Missing = None,
    keep: Keep = None,
) -> None:
    """Predict the class of every row of a file.

    \b
    Example:
    gpu-logreg predict income.model others.csv --proba --output predicted.csv
    """  # noqa: D301
    from gpu_logreg.command.predict import PredictionRequest, predict_file

    kind = format_ and str(format_)
    words = tuple(missing) if missing else None
    files = (header, sep, skip_rows, kind, features, decimal, thousands, words)
    predict_file(PredictionRequest(model, data, proba, output, *files, tuple(keep or ())))


@app.command()
def info(
    model: Annotated[Path | None, typer.Argument(metavar="MODEL", help="Model to describe.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="This machine, for a program to read.")] = False,
) -> None:
    """Describe what would run on this machine and why not, or what a model holds."""
    from gpu_logreg.command.describe import describe_machine, describe_model

    if model is None:
        describe_machine(as_json=as_json)
    elif as_json:
        raise DataError(f"--json describes this machine, and {model} is a model; leave out one of the two")
    else:
        describe_model(model)


@app.command()
def demo() -> None:
    """Show a training, then race scikit-learn; under a minute."""
    from gpu_logreg.command.demonstration import run_demo

    run_demo()


def main(arguments: list[str] | None = None) -> NoReturn:
    """Run the command line and exit."""
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):  # a name that the terminal has no letters for is shown by their numbers
            stream.reconfigure(errors="backslashreplace")
    with warnings.catch_warnings():
        warnings.showwarning = _show_warning
        warnings.simplefilter("default", UserWarning)
        warnings.simplefilter("ignore", RuntimeWarning)  # NumPy's; what is not finite is refused by name
        warnings.filterwarnings("ignore", "CUDA path could not be detected", UserWarning)  # `info` tells of the GPU
        code = _run(arguments)
        _flush()
    work_is_done()
    sys.exit(code)


def _run(arguments: list[str] | None) -> int:
    forget_written_files()
    try:
        code = app(args=arguments, prog_name="gpu-logreg", standalone_mode=False)
        if code == _INTERRUPTED:  # typer's answer to Ctrl-C; older versions raise Abort
            raise KeyboardInterrupt
        sys.stdout.flush()
        return code if isinstance(code, int) else 0
    except (KeyboardInterrupt, typer.Abort):
        return _interrupted()
    except (BrokenPipeError, SystemExit):  # the reader of our output has gone, as in `| head`; typer exits there
        _forget_output()
        return 0
    except Exception as error:
        return _interrupted() if received() else _failed(error)


def _interrupted() -> int:
    saved = written_files()
    what = f"{', '.join(saved)} was saved before" if saved else "nothing was saved"
    return _fail(f"{ending(received() or signal.SIGINT)}; {what}", 128 + (received() or signal.SIGINT))


def _failed(error: Exception) -> int:
    if isinstance(error, GpuLogregError):
        return _fail(str(error), 2)
    if isinstance(error, MemoryError):
        return _fail(f"out of memory ({error}); use fewer columns, or --dtype float32", 2)
    if isinstance(error, OSError):
        name = error.filename
        if name is None and error.errno in _OUTPUT_FAULTS:
            name = "standard output"
            _forget_output()
        return _fail(f"{name}: {error.strerror}" if name else str(error), 2)
    if hasattr(error, "format_message"):  # a wrong option; typer has moved this class between versions
        return _fail(_wrong_option(error), 2)
    if os.environ.get("GPU_LOGREG_TRACEBACK"):
        raise error
    kind = type(error).__name__
    return _fail(f"unforeseen {kind}: {error}. For a report, set GPU_LOGREG_TRACEBACK=1 and run it again", 1)


def _wrong_option(error: Any) -> str:
    """The word of typer on an option, and where to read on."""
    message = error.format_message().replace("Value error, ", "").rstrip(".")
    command = getattr(getattr(error, "ctx", None), "command_path", "gpu-logreg")
    return f"{message}{'' if message.endswith('?') else '.'} See {command} --help"


def _flush() -> None:
    """Write what is left of the output; Python would do it at its exit, and complain at length where it cannot."""
    try:
        sys.stdout.flush()
    except OSError:
        _forget_output()


def _forget_output() -> None:
    """Drop what is left to write: it cannot be written, and Python would try again at its exit."""
    with contextlib.suppress(OSError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _fail(message: str, code: int) -> int:
    note(f"error: {' '.join(message.split())}")
    return code


def _show_warning(message: Warning | str, *_: Any, **__: Any) -> None:
    note(f"warning: {' '.join(str(message).split())}")


if __name__ == "__main__":
    main()
