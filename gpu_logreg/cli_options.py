"""The options of the command line that several commands share, and the words that others take."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

import typer

__all__ = [
    "ActivationName",
    "ClassWeightName",
    "Decimal",
    "DtypeName",
    "Features",
    "Format",
    "FormatName",
    "ImplName",
    "Missing",
    "PenaltyName",
    "Sep",
    "SkipRows",
    "SolverName",
    "StorageName",
    "Thousands",
]

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
