"""``gpu-logreg predict`` on the workers of a Dask cluster, which read and predict the parts of files."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gpu_logreg.command.on_cluster import cluster
from gpu_logreg.command.report import note
from gpu_logreg.files.formats import FileOptions, applicable_options
from gpu_logreg.files.number_words import Marks
from gpu_logreg.files.pieces import cut_files
from gpu_logreg.files.schema import Schema
from gpu_logreg.files.unseen import UnseenCategories, add_unseen, remarks_of

__all__ = ["logits_on_cluster"]


def logits_on_cluster(
    model: Any,
    data: Path,
    schema: Schema,
    options: FileOptions,
    marks: Marks,
    missing: tuple[str, ...] | None,
    where: tuple[str | None, int | None],
) -> Iterator[NDArray[np.float64]]:
    """Logits part by part, in the order of the rows, of which a few parts are under way at a time.

    Parameters
    ----------
    model : estimator
    data : Path
        A file, a folder or a pattern of names.
    schema, options, marks
        As of `gpu_logreg.files.load.load_prediction_data`.
    missing : sequence of str or None
        Words for missing cells in training, which are those of formats that have such words, if no others are given.
    where : (str or None, int or None)
        Address of a scheduler, or number of workers to start.
    """
    from gpu_logreg.estimators.distributed.predictions import predicted_pieces

    pieces = cut_files(data, options)
    if options.missing is None:
        words = applicable_options(replace(options, missing=missing), Path(pieces[0].path)).missing
        pieces = [piece._replace(options=replace(piece.options, missing=words)) for piece in pieces]
    unseen, n_rows = dict[str, UnseenCategories](), 0
    with cluster(*where) as client:
        for found in predicted_pieces(client, model, schema, marks, pieces):
            yield found.logits
            unseen, n_rows = add_unseen(unseen, found.unseen), n_rows + len(found.logits)
    for remark in remarks_of(unseen, str(data), n_rows):
        note(remark)
