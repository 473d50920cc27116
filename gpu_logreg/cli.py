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
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any, NoReturn

from gpu_logreg.interruption import answer_signals, ending, open_closed_streams, received, work_is_done

if __name__ == "__main__":  # before what takes time to import; as gpu_logreg.__main__ does
    open_closed_streams()
    answer_signals()

try:
    import rich  # noqa: F401
    import typer
except ImportError:
    sys.exit("error: the command line needs more packages; install them with: pip install 'gpu-logreg[cli]'")

from gpu_logreg import __version__
from gpu_logreg.errors import GpuLogregError
from gpu_logreg.lines import note
from gpu_logreg.whole_files import forget_written_files, written_files

__all__ = ["app", "main"]

_INTERRUPTED = 130
_OUTPUT_FAULTS = (errno.EIO, errno.EFBIG, errno.ENOSPC, errno.EDQUOT)

app = typer.Typer(
    add_completion=False,
    rich_markup_mode=None,  # plain help fits into 80 columns, boxes do not
    pretty_exceptions_enable=False,
    help="Train, test and use logistic regression on large data, on a CPU or an NVIDIA GPU.",
)


FormatName = StrEnum("FormatName", ["csv", "parquet", "npy", "npz", "libsvm"])
DtypeName = StrEnum("DtypeName", ["float32", "float64"])
SolverName = StrEnum(
    "SolverName", ["auto", "subsampled-newton", "lbfgs", "proximal", "gradient-descent", "sgd", "adam", "adamw"]
)
PenaltyName = StrEnum("PenaltyName", ["l1", "l2", "elasticnet", "none"])
ActivationName = StrEnum("ActivationName", ["tanh", "relu", "logistic", "identity"])
ImplName = StrEnum("ImplName", ["auto", "reference", "cpu", "cuda", "cublas"])
StorageName = StrEnum("StorageName", ["auto", "float64", "float32", "float16", "bfloat16", "uint8"])
ClassWeightName = StrEnum("ClassWeightName", ["balanced"])

Sep = Annotated[str | None, typer.Option(metavar="CHAR", help="Separator of CSV; found by itself as a rule.")]
SkipRows = Annotated[int, typer.Option(metavar="N", min=0, help="Lines of CSV to pass over first.")]
Format = Annotated[
    FormatName | None,
    typer.Option("--format", metavar="NAME", help="csv, parquet, npy, npz or libsvm; found by itself as a rule."),
]
Features = Annotated[str | None, typer.Option(metavar="ARRAY", help="Array of an .npz archive that holds the rows.")]


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
    data: Annotated[Path, typer.Argument(metavar="DATA", help="CSV, Parquet, .npy, .npz or LIBSVM text.")],
    target: Annotated[
        str | None, typer.Option(metavar="COLUMN", help="Column, or array of .npz, that holds the labels.")
    ] = None,
    model: Annotated[Path | None, typer.Option(metavar="FILE", help="Where to save the model.")] = None,
    positive: Annotated[
        str | None, typer.Option(metavar="LABEL", help="Set this label against all others, which become 'not LABEL'.")
    ] = None,
    test_size: Annotated[
        float | None, typer.Option(metavar="SHARE", help="Hold back this share of the rows, 0 to 1, to test on.")
    ] = None,
    valid: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="File of rows to test on. A full stop that all its labels end in, and none in training, is ignored.",
        ),
    ] = None,
    valid_target: Annotated[str | None, typer.Option(metavar="COLUMN", help="As --target, if not the same.")] = None,
    valid_skip_rows: Annotated[
        int | None, typer.Option(metavar="N", min=0, help="As --skip-rows, if not the same.")
    ] = None,
    valid_features: Annotated[str | None, typer.Option(metavar="ARRAY", help="As --features, if not the same.")] = None,
    header: Annotated[
        bool, typer.Option("--header/--no-header", help="CSV begins with names of columns; else they are c0, c1, ...")
    ] = True,
    sep: Sep = None,
    skip_rows: SkipRows = 0,
    format_: Format = None,
    features: Features = None,
    drop: Annotated[
        list[str] | None, typer.Option(metavar="COLUMN", help="Column to leave out; may be repeated.")
    ] = None,
    dtype: Annotated[
        DtypeName, typer.Option(metavar="NAME", help="float64 or float32, for tables and LIBSVM text.")
    ] = DtypeName.float64,
    c: Annotated[
        float, typer.Option("--C", metavar="NUMBER", help="Inverse strength of the penalty; inf for none.")
    ] = 1.0,
    penalty: Annotated[
        PenaltyName | None, typer.Option(metavar="NAME", help="l2 (default), l1, elasticnet or none.")
    ] = None,
    l1_ratio: Annotated[
        float | None, typer.Option(metavar="SHARE", min=0, max=1, help="Share of L1 in the penalty, 0 to 1.")
    ] = None,
    class_weight: Annotated[
        ClassWeightName | None, typer.Option(metavar="NAME", help="balanced: both classes weigh the same.")
    ] = None,
    intercept: Annotated[bool, typer.Option("--intercept/--no-intercept", help="Fit an intercept.")] = True,
    hidden: Annotated[
        list[int] | None,
        typer.Option(metavar="UNITS", min=1, help="Train a network with a hidden layer; may be repeated."),
    ] = None,
    activation: Annotated[
        ActivationName | None, typer.Option(metavar="NAME", help="Of hidden layers: tanh (default), relu, logistic.")
    ] = None,
    alpha: Annotated[
        float | None, typer.Option(metavar="NUMBER", help="Ridge penalty of a network, instead of --C; default 0.0001.")
    ] = None,
    batch_size: Annotated[
        int | None, typer.Option(metavar="N", min=1, help="Rows of a step of a network; default 200.")
    ] = None,
    learning_rate: Annotated[
        float | None, typer.Option(metavar="NUMBER", help="Of gradient-descent, sgd, adam and adamw.")
    ] = None,
    tol: Annotated[
        float | None,
        typer.Option(
            metavar="NUMBER",
            help="Largest |gradient| of the mean objective to stop at, default 1e-6; of sgd, adam and networks, "
            "gain of an epoch, default 1e-4.",
        ),
    ] = None,
    max_iter: Annotated[
        int | None, typer.Option(metavar="N", min=0, help="Most iterations, default 1000; of a network 200.")
    ] = None,
    solver: Annotated[
        SolverName,
        typer.Option(
            metavar="NAME", help="auto, subsampled-newton, lbfgs, proximal, gradient-descent, sgd, adam, adamw."
        ),
    ] = SolverName.auto,
    device: Annotated[str, typer.Option(metavar="NAME", help="auto, cpu, cuda or cuda:N.")] = "auto",
    impl: Annotated[
        ImplName, typer.Option(metavar="NAME", help="Pass over the rows: auto, reference, cpu, cuda or cublas.")
    ] = ImplName.auto,
    storage: Annotated[
        StorageName,
        typer.Option(metavar="DTYPE", help="How rows are stored: auto, float64, float32, float16, bfloat16 or uint8."),
    ] = StorageName.auto,
    seed: Annotated[int, typer.Option(metavar="N", min=0, help="For the rows held back and the solver's sample.")] = 0,
) -> None:
    """Train a model on a file, test it, and save it.

    \b
    Example:
    gpu-logreg train people.csv --target income --test-size 0.2 --model income.model
    gpu-logreg train people.csv --target income --hidden 128 --model income.model
    """  # noqa: D301 - \b keeps the line whole in the help
    from gpu_logreg.dataset.formats import FileOptions
    from gpu_logreg.training import TrainingRequest, train_on_file

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
        FileOptions(format_ and str(format_), header, sep, skip_rows, features),
        tuple(drop or ()),
        str(dtype),
        seed,
    )
    train_on_file(request, given)


@app.command()
def predict(
    model: Annotated[Path, typer.Argument(metavar="MODEL", help="Model that train saved.")],
    data: Annotated[Path, typer.Argument(metavar="DATA", help="File of raw rows, as in training.")],
    proba: Annotated[bool, typer.Option("--proba", help="Write the probability of each class as well.")] = False,
    output: Annotated[str, typer.Option(metavar="FILE", help="CSV file to write, - for standard output.")] = "-",
    header: Annotated[
        bool | None, typer.Option("--header/--no-header", help="CSV begins with names of columns; as in training.")
    ] = None,
    sep: Sep = None,
    skip_rows: SkipRows = 0,
    format_: Format = None,
    features: Features = None,
) -> None:
    """Predict the class of every row of a file.

    \b
    Example:
    gpu-logreg predict income.model others.csv --proba --output predicted.csv
    """  # noqa: D301
    from gpu_logreg.prediction import PredictionRequest, predict_file

    kind = format_ and str(format_)
    predict_file(PredictionRequest(model, data, proba, output, header, sep, skip_rows, kind, features))


@app.command()
def info(
    model: Annotated[Path | None, typer.Argument(metavar="MODEL", help="Model to describe.")] = None,
) -> None:
    """Describe this machine, or what a model holds."""
    from gpu_logreg.describe import describe_machine, describe_model

    if model is None:
        describe_machine()
    else:
        describe_model(model)


@app.command()
def demo() -> None:
    """Show a training, then race scikit-learn; under a minute."""
    from gpu_logreg.demonstration import run_demo

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
