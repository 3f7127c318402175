"""What metadata say is the same after it was kept, and a hash of a title in every process."""

import os
import subprocess
import sys

import numpy as np
import orjson
import pytest

from model.artifact.files import ArtifactError
from model.artifact.tables import StringTable
from service.serving.columns import Columns

RECORDS = [
    {"title": "Ä", "categories": ["b", "a"], "year": 1990, "attributes": {"x": "é", "y": True}},
    {},
    {"title": "B", "categories": ["a"], "attributes": {"x": 2.5, "colour": "red"}},
]


def columns_of(records: list) -> Columns:
    return Columns.of(StringTable.of(orjson.dumps(record).decode() for record in records))


@pytest.mark.parametrize("records", [RECORDS, RECORDS[1:2]])
def test_what_is_kept_is_the_same(records: list) -> None:
    made = columns_of(records)
    again = Columns.of_arrays(made.arrays())
    assert {x: rows.tolist() for x, rows in again.rows_of_category.items()} == {
        x: rows.tolist() for x, rows in made.rows_of_category.items()
    }
    assert again.attributes.columns.keys() == made.attributes.columns.keys()
    for key, column in made.attributes.columns.items():
        other = again.attributes.columns[key]
        assert other.kind == column.kind
        np.testing.assert_array_equal(other.values_N, column.values_N)
        assert (other.rows_N is None) == (column.rows_N is None)
        if column.rows_N is not None:
            np.testing.assert_array_equal(other.rows_N, column.rows_N)
        assert (None if other.texts is None else [*other.texts]) == column.texts


def test_what_is_no_object_is_refused() -> None:
    with pytest.raises(ArtifactError, match="item row 1 is not a JSON object"):
        columns_of([{}, [1]])


def test_titles_are_the_same_to_every_process() -> None:
    program = (
        "import numpy; from service.serving.attributes import AttributesBuilder as B; b = B();"
        "b.add(0, {'title': 'Ä'}); print(b.attributes().columns['title', 'text'].values_N[0])"
    )
    found = {
        subprocess.run(
            [sys.executable, "-c", program],
            env=os.environ | {"PYTHONHASHSEED": seed},
            capture_output=True,
            check=True,
        ).stdout
        for seed in ("1", "2")
    }
    assert len(found) == 1
