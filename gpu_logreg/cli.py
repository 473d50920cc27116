"""The command line ``gpu-logreg``: from files to a saved model and back. It holds no mathematics.

Exit codes: 0 done; 2 bad input, with one line on standard error; 130 interrupted; 1 anything unforeseen.
"""

from __future__ import annotations

import os
import sys
import warnings
from pathlib import Path
from typing import Annotated, Any, NoReturn

try:
    import typer
except ImportError:
    sys.exit("error: the command line needs more packages; install them with: pip install 'gpu-logreg[cli]'")

from gpu_logreg.errors import GpuLogregError

__all__ = ["app", "main"]

app = typer.Typer(
    add_completion=False,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    help="Train, test and use logistic regression on large data, on a CPU or an NVIDIA GPU.",
)

Header = Annotated[bool | None, typer.Option("--header/--no-header", help="First line of CSV holds column names.")]
Sep = Annotated[str | None, typer.Option(help="Separator of CSV; found by itself as a rule.")]
SkipRows = Annotated[int | None, typer.Option(min=0, help="Lines of CSV to pass over first.")]
Format = Annotated[str | None, typer.Option("--format", help="csv, parquet, npy, npz or libsvm.")]
Features = Annotated[str | None, typer.Option(help="Array of an .npz archive that holds the rows.")]


@app.command()
def train(
    data: Annotated[Path, typer.Argument(help="File of rows: CSV, Parquet, .npy, .npz or LIBSVM text.")],
    target: Annotated[str | None, typer.Option(help="Column, or .npz array, of the labels.")] = None,
    model: Annotated[Path | None, typer.Option(help="Where to save the model.")] = None,
    valid: Annotated[Path | None, typer.Option(help="File of rows to test on.")] = None,
    test_size: Annotated[float | None, typer.Option(help="Share of the rows to hold back and test on.")] = None,
    positive: Annotated[str | None, typer.Option(help="This label against all others.")] = None,
    header: Header = None,
    sep: Sep = None,
    skip_rows: SkipRows = None,
    format_: Format = None,
    features: Features = None,
    drop: Annotated[list[str] | None, typer.Option(help="Column to leave out; may be repeated.")] = None,
    dtype: Annotated[str, typer.Option(help="float64 or float32, for tables.")] = "float64",
    c: Annotated[float, typer.Option("--C", help="Inverse strength of the ridge penalty; inf for none.")] = 1.0,
    class_weight: Annotated[str | None, typer.Option(help="'balanced', or nothing.")] = None,
    intercept: Annotated[bool, typer.Option("--intercept/--no-intercept", help="Fit an intercept.")] = True,
    tol: Annotated[float, typer.Option(help="Largest |gradient| of the mean objective to stop at.")] = 1e-6,
    max_iter: Annotated[int, typer.Option(min=0, help="Most iterations.")] = 1000,
    solver: Annotated[str, typer.Option(help="auto, subsampled-newton, lbfgs or gradient-descent.")] = "auto",
    device: Annotated[str, typer.Option(help="auto, cpu, cuda or cuda:N.")] = "auto",
    impl: Annotated[str, typer.Option(help="auto, reference, cpu or cuda.")] = "auto",
    seed: Annotated[int, typer.Option(help="For the held-back rows and the solver's sample.")] = 0,
) -> None:
    """Train a model on a file, test it, and save it."""
    from gpu_logreg.dataset.formats import FileOptions
    from gpu_logreg.training import TrainingRequest, train_on_file

    options = FileOptions(format_, header is not False, sep, skip_rows or 0, features)
    parameters: dict[str, Any] = {
        "C": c,
        "class_weight": class_weight,
        "fit_intercept": intercept,
        "tol": tol,
        "max_iter": max_iter,
        "solver": solver,
        "device": device,
        "impl": impl,
        "random_state": seed,
    }
    request = TrainingRequest(data, target, model, valid, test_size, positive, options, tuple(drop or ()), dtype, seed)
    train_on_file(request, parameters)


@app.command()
def predict(
    model: Annotated[Path, typer.Argument(help="Model that train saved.")],
    data: Annotated[Path, typer.Argument(help="File of raw rows, as in training.")],
    proba: Annotated[bool, typer.Option("--proba", help="Write the probability of each class as well.")] = False,
    output: Annotated[str, typer.Option(help="CSV file to write, - for standard output.")] = "-",
    header: Header = None,
    sep: Sep = None,
    skip_rows: SkipRows = None,
    format_: Format = None,
    features: Features = None,
) -> None:
    """Predict the class of every row of a file."""
    from gpu_logreg.prediction import predict_file

    predict_file(model, data, proba, output, header, sep, skip_rows, format_, features)


@app.command()
def info(
    model: Annotated[Path | None, typer.Argument(help="Model to describe; the machine if none is given.")] = None,
) -> None:
    """Describe this machine as gpu-logreg sees it, or what a model holds."""
    from gpu_logreg.report import describe_machine, describe_model

    if model is None:
        describe_machine()
    else:
        describe_model(model)


@app.command()
def demo() -> None:
    """From file to saved model and back, then 1,000,000 x 100 against scikit-learn, in under a minute."""
    from gpu_logreg.demonstration import run_demo

    run_demo()


def main(arguments: list[str] | None = None) -> NoReturn:
    """Run the command line and exit."""
    warnings.showwarning = _show_warning
    sys.exit(_run(arguments))


def _run(arguments: list[str] | None) -> int:
    try:
        code = app(args=arguments, standalone_mode=False)
        sys.stdout.flush()
        return code if isinstance(code, int) else 0
    except (KeyboardInterrupt, typer.Abort):
        return _fail("interrupted; nothing was written", 130)
    except BrokenPipeError:  # the reader of our output has gone, as in `| head`
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except GpuLogregError as error:
        return _fail(str(error), 2)
    except MemoryError as error:
        return _fail(f"out of memory ({error}); use fewer columns, or --dtype float32", 2)
    except OSError as error:
        name = f"{error.filename}: " if error.filename else ""
        return _fail(f"{name}{error.strerror or error}", 2)
    except ValueError as error:  # scikit-learn's word on parameters and labels
        return _fail(str(error), 2)
    except Exception as error:
        if hasattr(error, "format_message"):  # a wrong option; typer has moved this class between versions
            return _fail(f"{error.format_message()} See gpu-logreg --help.", 2)
        if os.environ.get("GPU_LOGREG_TRACEBACK"):
            raise
        kind = type(error).__name__
        return _fail(f"unforeseen {kind}: {error}. For a report, set GPU_LOGREG_TRACEBACK=1 and run it again", 1)


def _fail(message: str, code: int) -> int:
    line = " ".join(message.split())
    print(f"error: {line}", file=sys.stderr)
    return code


def _show_warning(message: Warning | str, *_: Any, **__: Any) -> None:
    print(f"warning: {' '.join(str(message).split())}", file=sys.stderr)


if __name__ == "__main__":
    main()
