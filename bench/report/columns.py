"""Names of the columns of a stored run in reports."""

from __future__ import annotations

from bench.report.text.sanitize import clean

_NAMES = {
    "batch_size": "batch size (images)",
    "iterations": "budget (updates)",
    "eval_every": "updates between evaluations",
    "resample_train": "training set of each seed",
    "device_name": "processor or GPU",
    "tf32": "TF32",
    "stack": "runs in a stack",
    "cores": "cores allowed",
    "n_jobs": "workers side by side",
    "torch_version": "PyTorch",
    "numpy_version": "NumPy",
    "python_version": "Python",
    "git_commit": "commit of this program",
}


def column_name(column: str) -> str:
    """Return the name of a column in reports, by default the column name with spaces.

    >>> column_name("torch_version"), column_name("schema_version")
    ('PyTorch', 'schema version')
    """
    return _NAMES.get(column, clean(column.replace("_", " ")))
