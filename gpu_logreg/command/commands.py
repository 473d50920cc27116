"""The commands ``gpu-logreg train``, ``predict``, ``export``, ``info``, ``demo`` and ``bench``, with their options.

The modules that do the work are imported inside the commands: ``gpu-logreg --help`` loads no NumPy, no scikit-learn.
"""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer

from gpu_logreg import __version__
from gpu_logreg.command.options import (
    AUTO_SOLVER,
    Activation,
    Alpha,
    BatchSize,
    C,
    CheckpointEvery,
    CheckpointFile,
    ClassWeight,
    Cs,
    Data,
    Decimal,
    DeviceMemoryBudget,
    Drop,
    Dtype,
    DtypeName,
    EarlyStopping,
    Features,
    Folds,
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
    MaxTime,
    MemoryBudget,
    Missing,
    Penalty,
    Positive,
    Scheduler,
    Sep,
    SkipRows,
    Solver,
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
    Workers,
    file_options,
)
from gpu_logreg.errors import DataError

__all__ = ["app"]

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
    cv: Folds = None,
    cs: Cs = None,
    penalty: Penalty = None,
    l1_ratio: L1Ratio = None,
    class_weight: ClassWeight = None,
    intercept: Annotated[bool, typer.Option("--intercept/--no-intercept", help="Fit an intercept.")] = True,
    hidden: Hidden = None,
    activation: Activation = None,
    alpha: Alpha = None,
    batch_size: BatchSize = None,
    early_stopping: EarlyStopping = False,
    learning_rate: LearningRate = None,
    tol: Tol = None,
    max_iter: MaxIter = None,
    max_time: MaxTime = None,
    checkpoint: CheckpointFile = None,
    checkpoint_every: CheckpointEvery = None,
    solver: Solver = AUTO_SOLVER,
    device: Annotated[str, typer.Option(metavar="NAME", help="auto, cpu, cuda, cuda:N or cuda:all.")] = "auto",
    impl: Impl = ImplName.auto,
    storage: Storage = StorageName.auto,
    memory_budget: MemoryBudget = None,
    device_memory_budget: DeviceMemoryBudget = None,
    scheduler: Scheduler = None,
    workers: Workers = None,
    report: Annotated[Path | None, typer.Option(metavar="FILE", help="HTML page on the training to write.")] = None,
    seed: Annotated[int, typer.Option(metavar="N", min=0, help="For the rows held back and the solver's sample.")] = 0,
) -> None:
    """Train a model on a file, test it, and save it.

    \b
    Example:
    gpu-logreg train people.csv --target income --test-size 0.2 --model income.model
    gpu-logreg train people.csv --target income --hidden 128 --model income.model
    """  # noqa: D301 - \b keeps the line whole in the help
    from gpu_logreg.command.train import train_on_file
    from gpu_logreg.command.training_request import TrainingRequest

    rows = file_options(format_, header, sep, skip_rows, features, decimal, thousands, missing, text)
    validation = valid, valid_target, valid_skip_rows, valid_features
    columns = tuple(drop or ()), str(dtype), seed, weight
    kept, cluster = (checkpoint, checkpoint_every, memory_budget), (scheduler, workers)
    request = TrainingRequest(
        data, target, model, *validation, test_size, positive, rows, *columns, *kept, *cluster, report
    )
    linear = {
        "C": c,
        "cv": cv,
        "Cs": cs,
        "penalty": penalty,
        "l1_ratio": l1_ratio,
        "class_weight": class_weight,
        "fit_intercept": intercept,
        "device_memory_budget": device_memory_budget,
    }
    network = {"hidden": tuple(hidden or ()), "activation": activation, "alpha": alpha, "batch_size": batch_size}
    network["early_stopping"] = early_stopping or None
    steps = {
        "solver": solver,
        "learning_rate": learning_rate,
        "tol": tol,
        "max_iter": max_iter,
        "random_state": seed,
        "max_time": max_time,
    }
    passes = {"device": device, "impl": impl, "storage": storage}
    train_on_file(request, _as_texts(linear | network | steps | passes))


def _as_texts(parameters: dict[str, Any]) -> dict[str, Any]:
    """Parameters of an estimator, with the names that the user has chosen from as plain texts."""
    return {name: str(value) if isinstance(value, StrEnum) else value for name, value in parameters.items()}


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
    scheduler: Scheduler = None,
    workers: Workers = None,
) -> None:
    """Predict the class of every row of a file.

    \b
    Example:
    gpu-logreg predict income.model others.csv --proba --output predicted.csv
    """  # noqa: D301
    from gpu_logreg.command.predict import PredictionRequest, predict_file

    request = PredictionRequest(
        model,
        data,
        proba,
        output,
        header,
        sep,
        skip_rows,
        format_ and str(format_),
        features,
        decimal,
        thousands,
        tuple(missing) if missing else None,
        tuple(keep or ()),
        scheduler,
        workers,
    )
    predict_file(request)


@app.command()
def export(
    model: Annotated[Path, typer.Argument(metavar="MODEL", help="Model that train saved.")],
    output: Annotated[Path, typer.Argument(metavar="FILE", help="ONNX file to write.")],
) -> None:
    """Write a model as an ONNX graph, which takes the columns of its table."""
    from gpu_logreg.command.export import export_model

    export_model(model, output)


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


@app.command()
def bench(
    as_json: Annotated[bool, typer.Option("--json", help="The measurements, for a program to read.")] = False,
    plot: Annotated[Path | None, typer.Option(metavar="FILE", help="SVG file to draw them in.")] = None,
    seconds: Annotated[float, typer.Option(metavar="S", help="Time to measure in.")] = 75.0,
) -> None:
    """Measure this machine: passes, fits, and CPU against GPU; under two minutes.

    Ctrl-C ends it and prints what was measured up to then.
    """
    from gpu_logreg.command.benchmark.run import BenchmarkRequest, run_benchmark

    run_benchmark(BenchmarkRequest(seconds, as_json, plot))
