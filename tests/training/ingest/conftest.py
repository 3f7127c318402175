import csv
from collections.abc import Callable
from pathlib import Path

import pytest

from training.ingest.job import run_import
from training.ingest.mapping import Mapping
from training.ingest.summary import Summary

Import = Callable[..., Summary]


@pytest.fixture
def imported(tmp_path: Path) -> Import:
    """Imports files of `tmp_path` into `tmp_path/out`; keywords are keys of `[interactions]`."""

    def run(*names: str, items: dict | None = None, share: float = 1.0, **keys: object) -> Summary:
        values = {"interactions": {"files": [names[0]], "user": "user", "item": "item"} | keys}
        if items is not None:
            values["items"] = {"files": [names[1]], "id": "item"} | items
        return run_import(
            [tmp_path / name for name in names],
            Mapping.model_validate(values | {"max_rejected": share}),
            tmp_path / "out",
            force=True,
        )

    return run


@pytest.fixture
def table(tmp_path: Path) -> Callable[[str], list[tuple]]:
    """Rows of a table that was written, header first."""

    def read(name: str) -> list[tuple]:
        with (tmp_path / "out" / name).open(newline="", encoding="utf-8") as file:
            if name.endswith(".csv"):
                return [tuple(row) for row in csv.reader(file)]
            return [tuple(line.rstrip("\n").split("\t")) for line in file]

    return read
