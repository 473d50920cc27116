"""Types of the options of the command line: allowed values, and the text that ``--help`` shows."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from gpu_logreg.estimators.linear.solver_names import SOLVER_NAMES

if TYPE_CHECKING:
    from gpu_logreg.files.formats import FileOptions

__all__ = [
    "AUTO_SOLVER",
    "Activation",
    "ActivationName",
    "Alpha",
    "BatchSize",
    "C",
    "CheckpointEvery",
    "CheckpointFile",
    "ClassWeight",
    "ClassWeightName",
    "Cs",
    "Data",
    "Decimal",
    "DeviceMemoryBudget",
    "Drop",
    "Dtype",
    "DtypeName",
    "EarlyStopping",
    "Features",
    "Folds",
    "Format",
    "FormatName",
    "Header",
    "HeaderAsTrained",
    "Hidden",
    "Impl",
    "ImplName",
    "Keep",
    "L1Ratio",
    "LearningRate",
    "MaxIter",
    "MaxTime",
    "MemoryBudget",
    "Missing",
    "Penalty",
    "PenaltyName",
    "Positive",
    "Scheduler",
    "Sep",
    "SkipRows",
    "Solver",
    "SolverName",
    "Storage",
    "StorageName",
    "Target",
    "TestSize",
    "Text",
    "Thousands",
    "Tol",
    "Valid",
    "ValidSkipRows",
    "Weight",
    "Workers",
    "file_options",
]

FormatName = StrEnum("FormatName", ["csv", "parquet", "npy", "npz", "libsvm"])
DtypeName = StrEnum("DtypeName", ["float32", "float64"])
SolverName = StrEnum("SolverName", ["auto", *SOLVER_NAMES, "adamw"])  # type: ignore[misc]
AUTO_SOLVER = SolverName("auto")
PenaltyName = StrEnum("PenaltyName", ["l1", "l2", "elasticnet", "none"])
ActivationName = StrEnum("ActivationName", ["tanh", "relu", "logistic", "identity"])
ImplName = StrEnum("ImplName", ["auto", "reference", "cpu", "cuda", "cublas"])
StorageName = StrEnum("StorageName", ["auto", "float64", "float32", "float16", "bfloat16", "uint8"])
ClassWeightName = StrEnum("ClassWeightName", ["balanced"])

Sep = Annotated[
    str | None,
    typer.Option(
        "--sep",
        "--separator",
        metavar="CHAR",
        help="Separator of CSV, ' ' for runs of blanks; found by itself as a rule.",
    ),
]
SkipRows = Annotated[int, typer.Option(metavar="N", min=0, help="Lines of CSV to pass over first.")]
Format = Annotated[
    FormatName | None,
    typer.Option("--format", metavar="NAME", help="csv, parquet, npy, npz or libsvm; found by itself as a rule."),
]
Features = Annotated[str | None, typer.Option(metavar="ARRAY", help="Array of an .npz archive that holds the rows.")]
Decimal = Annotated[
    str | None, typer.Option(metavar="CHAR", help="Decimal mark of CSV, . or a comma; found by itself as a rule.")
]
Thousands = Annotated[
    str | None, typer.Option(metavar="CHAR", help="What stands between thousands in CSV; found by itself as a rule.")
]
Missing = Annotated[
    list[str] | None,
    typer.Option(
        metavar="WORD",
        help="Word for a missing cell, in place of NA, N/A, NaN, nan, null, NULL, None and ?; may be repeated.",
    ),
]

Data = Annotated[Path, typer.Argument(metavar="DATA", help="CSV, Parquet, .npy, .npz or LIBSVM text; - for a pipe.")]
Target = Annotated[str | None, typer.Option(metavar="COLUMN", help="Column, or array of .npz, that holds the labels.")]
Positive = Annotated[
    str | None, typer.Option(metavar="LABEL", help="Set this label against all others, which become 'not LABEL'.")
]
TestSize = Annotated[
    float | None, typer.Option(metavar="SHARE", help="Hold back this share of the rows, 0 to 1, to test on.")
]
Valid = Annotated[
    Path | None,
    typer.Option(
        metavar="FILE",
        help="File of rows to test on. A full stop that all its labels end in, and none in training, is ignored.",
    ),
]
ValidSkipRows = Annotated[int | None, typer.Option(metavar="N", min=0, help="As --skip-rows, if not the same.")]
Header = Annotated[
    bool, typer.Option("--header/--no-header", help="CSV begins with names of columns; else they are c0, c1, ...")
]
HeaderAsTrained = Annotated[
    bool | None, typer.Option("--header/--no-header", help="CSV begins with names of columns; as in training.")
]
Text = Annotated[list[str] | None, typer.Option(metavar="COLUMN", help="Column to take as text; may be repeated.")]
Weight = Annotated[str | None, typer.Option(metavar="COLUMN", help="Column of row weights, which is no feature then.")]
Drop = Annotated[list[str] | None, typer.Option(metavar="COLUMN", help="Column to leave out; may be repeated.")]
Dtype = Annotated[DtypeName, typer.Option(metavar="NAME", help="float64 or float32, for tables and LIBSVM text.")]
C = Annotated[float, typer.Option("--C", metavar="NUMBER", help="Inverse strength of the penalty; inf for none.")]
Penalty = Annotated[PenaltyName | None, typer.Option(metavar="NAME", help="l2 (default), l1, elasticnet or none.")]
L1Ratio = Annotated[
    float | None, typer.Option(metavar="SHARE", min=0, max=1, help="Share of L1 in the penalty, 0 to 1.")
]
Folds = Annotated[
    int | None, typer.Option("--cv", metavar="FOLDS", min=2, help="Choose C by the log loss on so many folds.")
]
Cs = Annotated[
    str | None,
    typer.Option("--Cs", metavar="N", help="How many values of C --cv tries, default 10; or values, as 0.1,1,10."),
]
ClassWeight = Annotated[
    ClassWeightName | None, typer.Option(metavar="NAME", help="balanced: both classes weigh the same.")
]
Hidden = Annotated[
    list[int] | None,
    typer.Option(metavar="UNITS", min=1, help="Train a network with a hidden layer; may be repeated."),
]
EarlyStopping = Annotated[
    bool,
    typer.Option(
        "--early-stopping",
        help="End a network when it no longer gets better on the rows of --valid, or on a tenth that is held back.",
    ),
]
Activation = Annotated[
    ActivationName | None, typer.Option(metavar="NAME", help="Of hidden layers: tanh (default), relu, logistic.")
]
Alpha = Annotated[
    float | None, typer.Option(metavar="NUMBER", help="Ridge penalty of a network, instead of --C; default 0.0001.")
]
BatchSize = Annotated[int | None, typer.Option(metavar="N", min=1, help="Rows of a step of a network; default 200.")]
LearningRate = Annotated[float | None, typer.Option(metavar="NUMBER", help="Of gradient-descent, sgd, adam and adamw.")]
Tol = Annotated[
    float | None,
    typer.Option(
        metavar="NUMBER",
        help="Largest |gradient| of the mean objective to stop at, default 1e-6; of sgd, adam and networks, "
        "gain of an epoch, default 1e-4.",
    ),
]
MaxIter = Annotated[
    int | None, typer.Option(metavar="N", min=0, help="Most iterations, default 1000; of a network 200.")
]
MaxTime = Annotated[
    float | None, typer.Option(metavar="SECONDS", help="Stop the fit after this time, and keep what it has reached.")
]
CheckpointFile = Annotated[
    Path | None,
    typer.Option(
        "--checkpoint",
        metavar="FILE",
        help="Keep the state of the fit there; the same command goes on from it. Removed when the model is saved.",
    ),
]
CheckpointEvery = Annotated[
    float | None, typer.Option(metavar="SECONDS", min=0, help="Time between two writes of the checkpoint; default 30.")
]
Solver = Annotated[
    SolverName,
    typer.Option(
        metavar="NAME",
        help=f"{', '.join(SolverName)}.",
    ),
]
Impl = Annotated[
    ImplName, typer.Option(metavar="NAME", help="Pass over the rows: auto, reference, cpu, cuda or cublas.")
]
Storage = Annotated[
    StorageName,
    typer.Option(metavar="DTYPE", help="How rows are stored: auto, float64, float32, float16, bfloat16 or uint8."),
]
MemoryBudget = Annotated[
    str | None,
    typer.Option(
        metavar="SIZE",
        help="4GB, or 50%: a larger Parquet, .npy or .npz file is read block by block in every walk over it.",
    ),
]
DeviceMemoryBudget = Annotated[
    str | None,
    typer.Option(
        metavar="SIZE",
        help="4GB, or 50%: most memory of the GPU; rows beyond it are sent to it block by block in every walk.",
    ),
]
Scheduler = Annotated[
    str | None,
    typer.Option(
        metavar="ADDRESS", help="HOST:8786 of a Dask scheduler, whose workers read CSV or Parquet and keep the rows."
    ),
]
Workers = Annotated[
    int | None, typer.Option(metavar="N", min=1, help="Start as many workers on this machine, instead of --scheduler.")
]
Keep = Annotated[
    list[str] | None,
    typer.Option(metavar="COLUMN", help="Column of DATA to write as well, as it is there; may be repeated."),
]


def file_options(
    format_: FormatName | None,
    header: bool,
    sep: str | None,
    skip_rows: int,
    features: str | None,
    decimal: str | None,
    thousands: str | None,
    missing: list[str] | None,
    text: list[str] | None,
) -> FileOptions:
    """How the files of a training are read."""
    from gpu_logreg.files.formats import FileOptions

    return FileOptions(
        format_ and str(format_),
        header,
        sep,
        skip_rows,
        features,
        decimal=decimal,
        thousands=thousands,
        missing=tuple(missing) if missing else None,
        text=tuple(text or ()),
    )
