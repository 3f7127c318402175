"""Guesses: made where names and contents leave no doubt, and questions where they do."""

import tomllib
from pathlib import Path

import numpy as np
import pytest

from deploy.cli.app import main
from training.data.dataset import DataConfig, load_dataset
from training.ingest.guess import propose
from training.ingest.sources import Given


def guessed(folder: Path, **files: str) -> dict:
    for name, text in files.items():
        stem, _, suffix = name.rpartition("_")
        (folder / f"{stem}.{suffix}").write_text(text)
    proposal = propose(Given.of([folder]), "utf-8")
    assert proposal.questions == []
    assert proposal.mapping is not None
    return tomllib.loads(proposal.toml)


def test_movielens_as_it_is_published(tmp_path: Path) -> None:
    values = guessed(
        tmp_path,
        ratings_csv="userId,movieId,rating,timestamp\n1,1,4.0,964982703\n1,3,4.0,964981247\n",
        tags_csv="userId,movieId,tag,timestamp\n2,60756,funny,1445714994\n",
        links_csv="movieId,imdbId,tmdbId\n1,0114709,862\n",
        movies_csv='movieId,title,genres\n1,"Toy Story (1995)",Animation|Children\n',
        README_txt="See the licence.\n",
    )
    assert values == {
        "ignore": ["links.csv", "tags.csv"],
        "interactions": {
            "files": ["ratings.csv"],
            "user": "userId",
            "item": "movieId",
            "rating": "rating",
            "timestamp": "timestamp",
        },
        "items": {
            "files": ["movies.csv"],
            "id": "movieId",
            "title": "title",
            "categories": "genres",
        },
    }


def test_the_id_that_both_tables_share(tmp_path: Path) -> None:
    values = guessed(
        tmp_path,
        reviews_jsonl='{"rating": 5, "title": "Nice", "asin": "A1", "parent_asin": "P1", '
        '"user_id": "U1", "timestamp": 1588615855070}\n',
        meta_jsonl='{"title": "Tea", "parent_asin": "P1", "categories": ["Tea", "Pots"], '
        '"description": ["Pot", "of tea"], "main_category": "Home"}\n',
    )
    assert values["interactions"]["item"] == "parent_asin"
    assert values["items"] == {
        "files": ["meta.jsonl"],
        "id": "parent_asin",
        "title": "title",
        "categories": "categories",
        "text": ["description"],
    }


def test_events_counts_and_parts(tmp_path: Path) -> None:
    clicks = "visitor_id,product_id,event,ts\nv1,p1,view,2024-01-05\nv1,p1,refund,13/01/2024\n"
    values = guessed(tmp_path, jan_csv=clicks, feb_csv=clicks)
    assert values["interactions"] == {
        "files": ["feb.csv", "jan.csv"],
        "user": "visitor_id",
        "item": "product_id",
        "event": "event",
        "weights": {"refund": -5.0, "view": 1.0},
        "timestamp": "ts",
        "dates": "day-first",
    }
    (tmp_path / "plays").mkdir()
    values = guessed(tmp_path / "plays", x_csv="user,artist,plays\nu,a,7\n")
    assert values["interactions"]["rating"] == "plays"
    assert values["interactions"]["repeats"] == "sum"


def test_one_file_that_tells_about_items_too(tmp_path: Path, imported, table) -> None:
    lines = [
        "customer_id,product_id,product_name,category,title,date",
        *(f"c{n % 4},p{n % 3},Tea {n % 3},Drinks,comment {n},2024-01-0{n + 1}" for n in range(9)),
        "c1,,Nobody,Drinks,x,2024-01-01",
    ]
    values = guessed(tmp_path, x_csv="\n".join(lines) + "\n")
    assert values["items"] == {
        "files": ["x.csv"],
        "id": "product_id",
        "title": "product_name",
        "categories": "category",
    }
    out = tmp_path / "out"
    assert main(["import", str(tmp_path), "--out", str(out)]) == 0
    assert [row[1] for row in table("items.tsv")[1:]] == ["Tea 0", "Tea 1", "Tea 2"]
    assert [row[1:] for row in table("rejects.csv")[1:]] == [("11", "no item id", "")]


def test_recbole_atomic_files(tmp_path: Path) -> None:
    values = guessed(
        tmp_path,
        ml_inter="user_id:token\titem_id:token\trating:float\ttimestamp:float\n1\t2\t3\t4\n",
        ml_item="item_id:token\tmovie_title:token_seq\tclass:token_seq\n2\tToy Story\tA B\n",
        ml_user="user_id:token\tage:token\n1\t24\n",
    )
    assert values["ignore"] == ["ml.user"]
    assert values["items"]["categories_separator"] == " "


def test_mmrec_folder(tmp_path: Path) -> None:
    (tmp_path / "baby.inter").write_text(
        "userID\titemID\trating\tx_label\n0\t1\t5\t0\n1\t0\t4\t2\n"
    )
    (tmp_path / "i_id_mapping.csv").write_text("asin\titemID\nB1\t1\nB0\t0\n")
    (tmp_path / "u_id_mapping.csv").write_text("user_id\tuserID\nann\t0\nbob\t1\n\t2\n")
    np.save(tmp_path / "image_feat.npy", np.array([[1.0, 2.0], [3.0, 4.0]]))
    out = tmp_path / "out"
    assert main(["import", str(tmp_path), "--out", str(out), "--max-rejected", "0.4"]) == 0
    assert (out / "rejects.csv").read_text().splitlines()[1:] == [
        'u_id_mapping.csv,4,no user id,""'
    ]
    assert (out / "out.inter").read_text().splitlines() == [
        "user_id\titem_id\trating\tx_label",
        "ann\tB1\t5\t0",
        "bob\tB0\t4\t2",
    ]
    dataset = load_dataset(DataConfig(folder=out))
    assert dataset.item_ids == ["B0", "B1"]
    assert dataset.features["image"].x_IF.tolist() == [[1.0, 2.0], [3.0, 4.0]]


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("user,item,date,created_at\nu,i,2024-01-05,2024-01-05\n", 'timestamp = "created_at"'),
        ("user,item,date\nu,i,03/04/2024\n", 'dates = "day-first"'),
        ("user,product_id,sku\nu,i,j\n", 'item = "sku"'),
        ("who,item\nu,i\n", 'user = "who"'),
        (
            "u,i,5,2024-01-05\nv,i,4,2024-01-06\nv,j,5,2024-01-07\nu,i,4,2024-01-08\n",
            'columns = ["user", "item", "rating", "timestamp"]',
        ),
    ],
)
def test_a_question_names_the_line_to_write(
    text: str, line: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "x.csv").write_text(text)
    out = tmp_path / "out"
    assert main(["import", str(tmp_path / "x.csv"), "--out", str(out)]) == 2
    said = capsys.readouterr()
    assert f"    {line}\n" in said.err
    assert f"# {line}\n" in said.out
    assert not out.exists()
    (tmp_path / "my.toml").write_text(said.out.replace(f"# {line}\n", f"{line}\n"))
    again = ["import", str(tmp_path / "x.csv"), "--out", str(out)]
    assert main([*again, "--mapping", str(tmp_path / "my.toml")]) == 0


def test_the_first_line_is_a_row_where_there_is_no_header(tmp_path: Path, imported, table) -> None:
    (tmp_path / "x.csv").write_text("u,7,5\nv,8,4\nv,9,3\nu,8,4\n")
    (tmp_path / "y.csv").write_text("7,Tea,pot\n8,Wool,soft\n9,Yarn,3\n")
    proposal = propose(Given.of([tmp_path / "x.csv", tmp_path / "y.csv"]), "utf-8")
    assert [x.lines for x in proposal.questions] == [
        ['columns = ["user", "item", "rating"]'],
        ['columns = ["item", "title", "column 3"]'],
    ]
    (tmp_path / "my.toml").write_text(proposal.toml.replace("# columns", "columns"))
    out = ["--mapping", str(tmp_path / "my.toml"), "--out", str(tmp_path / "out")]
    assert main(["import", str(tmp_path / "x.csv"), str(tmp_path / "y.csv"), *out]) == 0
    assert table("items.tsv")[1:] == [("7", "Tea"), ("8", "Wool"), ("9", "Yarn")]


def test_of_many_columns_some_are_offered(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    head = ",".join(f"p{n}" for n in range(40))
    words = ",".join(f"word{n}" for n in range(40))
    (tmp_path / "x.csv").write_text(f"user,{head}\nu,{words}\n")
    assert main(["import", str(tmp_path)]) == 2
    said = capsys.readouterr().err
    assert "of 40; every row should be one choice of one item by one user" in said
    assert said.count("item = ") == 12


def test_a_table_of_nothing_but_a_header(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    (tmp_path / "x.csv").write_text("user,item\n")
    assert main(["import", str(tmp_path)]) == 1
    assert "has no rows; give a file that has some" in capsys.readouterr().err


def test_two_tables_of_interactions(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "a.csv").write_text("user,item,rating\nu,i,5\n")
    (tmp_path / "b.csv").write_text("user,item,stars\nu,i,5\n")
    assert main(["import", str(tmp_path)]) == 2
    assert 'files = ["a.csv"]' in capsys.readouterr().err


def test_dates_are_known_by_what_they_hold(tmp_path: Path) -> None:
    text = "user,item,wann,price\nu,i,5. January 2024,4.5\nu,j,2024-01-06 10:00,-1.5\n"
    values = guessed(tmp_path, x_csv=text.replace("5. ", "5 "))
    assert values["interactions"]["timestamp"] == "wann"


def test_what_a_column_holds_counts_more_than_its_name(tmp_path: Path) -> None:
    text = "user,item,rating,score\n" + "u,i,good,4\n" * 5
    (tmp_path / "x.csv").write_text(text)
    proposal = propose(Given.of([tmp_path]), "utf-8")
    assert proposal.mapping.interactions.rating == "score"
    assert proposal.notes == ["column 'rating' of x.csv: only 0% can be read, not 'good'"]


def test_names_in_other_languages(tmp_path: Path) -> None:
    values = guessed(
        tmp_path,
        bestellungen_csv="Kundennr;Artikelnr;Sterne;Kaufdatum\nk;a;4,5;03.04.2024\n",
        artikel_csv="Artikelnr;Titel;Kategorie;Beschreibung\na;Tee;Getränke;Grüner Tee\n",
    )
    assert values["interactions"] == {
        "files": ["bestellungen.csv"],
        "user": "Kundennr",
        "item": "Artikelnr",
        "rating": "Sterne",
        "timestamp": "Kaufdatum",
    }
    assert values["items"] == {
        "files": ["artikel.csv"],
        "id": "Artikelnr",
        "title": "Titel",
        "categories": "Kategorie",
        "text": ["Beschreibung"],
    }
    (tmp_path / "accents").mkdir()
    values = guessed(tmp_path / "accents", x_csv="Usuario,Producto,Valoración\nu,i,4\n")
    assert values["interactions"]["rating"] == "Valoración"


def test_tables_are_told_apart_by_what_names_what(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    lines = [f"w{n % 7};x{n % 9};{n % 5};2024-01-0{n % 9 + 1}" for n in range(60)]
    (tmp_path / "left.csv").write_text("\n".join(["aa;bb;cc;dd", *lines]) + "\n")
    (tmp_path / "right.csv").write_text("ee;ff\n" + "".join(f"x{n};Tea {n}\n" for n in range(12)))
    assert main(["import", str(tmp_path)]) == 2
    said = capsys.readouterr()
    assert tomllib.loads(said.out) == {
        "interactions": {"files": ["left.csv"], "item": "bb", "timestamp": "dd"},
        "items": {"files": ["right.csv"], "id": "ee", "title": "ff"},
    }
    assert said.err.splitlines()[:3] == [
        "not clear: which column of left.csv is the user; write one of",
        '    user = "aa"',
        '    user = "cc"',
    ]


def test_files_to_choose_from_are_not_ignored(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "a.csv").write_text("aa,bb\nu,i\n")
    (tmp_path / "b.csv").write_text("cc,dd\nv,j\n")
    assert main(["import", str(tmp_path)]) == 2
    assert tomllib.loads(capsys.readouterr().out) == {"interactions": {}}
