"""A folder of the shape in which GroupLens ships MovieLens latest-small, with some posters."""

import csv
import random
from collections.abc import Iterable
from pathlib import Path

import pytest

FILMS, PEOPLE = 40, 30
PIXEL = bytes.fromhex("47494638396101000100800000ffffff0000002c00000000010001000002024401003b")


def write(path: Path, rows: Iterable[Iterable[object]]) -> None:
    with path.open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows(rows)


@pytest.fixture
def shipped(tmp_path: Path) -> Path:
    """The folder; two films have posters."""
    folder = tmp_path / "films as shipped"
    (folder / "images").mkdir(parents=True)
    choose = random.Random(0)
    ratings = [
        (person, film, choose.choice((3.0, 4.5, 5.0)), 964982703 + 60 * (40 * person + place))
        for person in range(1, PEOPLE + 1)
        for place, film in enumerate(choose.sample(range(1, FILMS + 1), 12))
    ]
    write(folder / "ratings.csv", [("userId", "movieId", "rating", "timestamp"), *ratings])
    genres = ("Comedy|Drama", "Crime", "(no genres listed)")
    films = [(i, f"Film {i}, The ({1960 + i})", genres[i % 3]) for i in range(1, FILMS + 1)]
    write(folder / "movies.csv", [("movieId", "title", "genres"), *films])
    links = [(i, f"{100 + i:07d}", 900 + i) for i in range(1, FILMS + 1)]
    write(folder / "links.csv", [("movieId", "imdbId", "tmdbId"), *links])
    tags = [(person, film, "funny", when) for person, film, _, when in ratings[::40]]
    write(folder / "tags.csv", [("userId", "movieId", "tag", "timestamp"), *tags])
    (folder / "README.txt").write_text("Summary\n=======\n")
    for film in (1, 2):
        (folder / "images" / f"{film}.gif").write_bytes(PIXEL)
    return folder
