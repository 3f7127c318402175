"""The mapping: what it refuses, and TOML that says the same again."""

import tomllib
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from training.data.tables import DataError
from training.ingest.mapping import Mapping, mapping_text, read_mapping

HEAD = '[interactions]\nfiles = ["x.csv"]\nuser = "u"\nitem = "i"\n'


@pytest.mark.parametrize(
    ("lines", "said_to_user"),
    [
        ("usr = 1", "[interactions] knows no usr; did you mean user?"),
        (
            '[items]\nfiles = ["x.csv"]',
            '[items] does not say id; add a line id = "NAME OF THE COLUMN"',
        ),
        ('rating = "r"\nevent = "e"', "give event or rating, not both"),
        ('event = "e"', "event and weights belong together"),
        ('event = "e"\nweights = { gone = -1 }', "at least one of weights must be above 0"),
        ("min_rating = 4", "min_rating needs rating or event"),
        ('timestamp_format = "%H"', "no format of strptime"),
        ('repeats = "first"', "interactions.repeats: Input should be"),
        ("min_per_user = 0", "interactions.min_per_user"),
        ("user = 7", "is not TOML"),
        ('[items]\nfiles = []\nid = "i"', "items.files"),
    ],
)
def test_what_is_refused(lines: str, said_to_user: str, tmp_path: Path) -> None:
    (tmp_path / "my.toml").write_text(HEAD + lines + "\n")
    with pytest.raises(DataError) as error:
        read_mapping(tmp_path / "my.toml")
    assert said_to_user in str(error.value)
    assert "my.toml" in str(error.value)


@pytest.mark.parametrize(
    ("text", "said_to_user"),
    [
        ("", "has no table [interactions]; add it"),
        ("encodin = 'utf-8'\n" + HEAD, "the top knows no encodin; did you mean encoding?"),
        ("[interactions]\nuser = 'u'", 'add a line files = ["NAME.csv"] below [interactions]'),
    ],
)
def test_what_is_missing_or_misspelt(text: str, said_to_user: str, tmp_path: Path) -> None:
    (tmp_path / "my.toml").write_text(text)
    with pytest.raises(DataError) as error:
        read_mapping(tmp_path / "my.toml")
    assert said_to_user in str(error.value)


def test_a_mapping_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="cannot be read"):
        read_mapping(tmp_path / "my.toml")


TEXT = st.text(st.characters(codec="utf-8", exclude_characters="\x7f"), min_size=1)


@given(column=TEXT, weights=st.dictionaries(TEXT, st.integers(1, 9), min_size=1), marks=TEXT)
def test_toml_says_the_same_again(column: str, weights: dict[str, int], marks: str) -> None:
    interactions = {"files": [column], "user": column, "item": column, "event": column}
    mapping = Mapping.model_validate(
        {
            "ignore": [marks],
            "interactions": interactions | {"weights": weights},
            "items": {"files": ["i"], "id": column, "text": [marks, column]},
        }
    )
    text = mapping_text(mapping.model_dump(exclude_defaults=True))
    assert Mapping.model_validate(tomllib.loads(text)) == mapping
