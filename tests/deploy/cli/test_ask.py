"""`magnet recommend` and `magnet explain` against a running service."""

import json
import os
import re
import subprocess
import sys

import pytest

from deploy.cli.app import main
from deploy.cli.rules import filter_of
from magnet_client import Client

USER = "u004"


@pytest.fixture
def client(url: str):
    with Client(url, trust_env=False) as client:
        yield client


def test_a_list_with_the_terms_of_each_score(
    url: str, client: Client, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["recommend", USER, "-k", "3", "--url", url]) == 0
    *lines, last = capsys.readouterr().out.splitlines()
    answer = client.recommend(USER, k=3)
    assert last.startswith(f"model {answer.model_version}, ")
    rows = zip(lines[::3], lines[1::3], lines[2::3], strict=True)
    for item, (line, why, terms) in zip(answer.items, rows, strict=True):
        assert item.title is not None
        assert item.experts is not None
        *words, drawn = line.split()
        assert words == f"{item.rank} {item.title} {item.score:.2f}".split()
        assert set(drawn) <= set("░█▒▓")
        assert why.split() == item.reasons[0].split()
        assert terms.split()[0] == item.item_id
        assert (f" popularity {item.bias:+.2f}" in terms) == (item.bias != 0)
        assert f" {item.experts[0].name} {item.experts[0].contribution:+.2f}" in terms


@pytest.mark.parametrize("encoding", ["ascii", "cp1252"])
def test_a_terminal_without_its_letters(url: str, encoding: str) -> None:
    """Pipes of Windows, and systems without a language."""
    command = [sys.executable, "-m", "deploy.cli", "recommend", "--url", url]
    environment = os.environ | {"PYTHONIOENCODING": encoding}
    said = [
        subprocess.run([*command, *words], env=environment, capture_output=True, check=True).stdout
        for words in ((USER,), ("z\u00fcrich \u2014 \u6771",))
    ]
    bar = said[0].splitlines()[0].split()[-1]
    assert set(bar) <= set(b"#.-=")
    assert b"\\u6771" in said[1]
    assert ("z\u00fcrich".encode(encoding, "backslashreplace")) in said[1]


def test_the_longest_bar_is_that_of_the_highest_score(
    url: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["recommend", USER, "-k", "20", "--url", url]) == 0
    bars = [len(bar) for bar in re.findall(r"[░█▒▓]{2,}$", capsys.readouterr().out, re.MULTILINE)]
    assert len(bars) > 5
    assert max(bars) == 24


def test_rules(url: str, client: Client, capsys: pytest.CaptureFixture[str]) -> None:
    best, second = (item.item_id for item in client.recommend(USER, k=2).items)
    words = ["--pin", f"{second}=1", "--boost", f"item_id=={best}:-50", "--url", url]
    assert main(["recommend", USER, "-k", "3", *words]) == 0
    said = capsys.readouterr().out
    assert said.splitlines()[2].split()[0] == second
    assert best not in said
    limits = ["--filter", f"item_id in {best}, {second}", "--max-per", "item_id=1"]
    assert main(["recommend", USER, *limits, "--no-default-rules", "--url", url]) == 0
    first, *lines = capsys.readouterr().out.splitlines()
    assert first.startswith("warning: the whole list has 2 items: of ")
    assert first.endswith(" outside the filters")
    assert len(lines) == 2 * 3 + 1


@pytest.mark.parametrize(
    ("text", "meant"),
    [
        ("price<=20", ("price", "<=", 20)),
        ("list price >= -1.5", ("list price", ">=", -1.5)),
        ("brand = a b", ("brand", "==", "a b")),
        ('code=="7"', ("code", "==", "7")),
        ("sale != true", ("sale", "!=", True)),
        ("brand in a, 7", ("brand", "in", ["a", 7])),
        ("brand not in a", ("brand", "not_in", ["a"])),
        ("sale", ("sale", "exists", None)),
    ],
)
def test_conditions_in_words(text: str, meant: tuple[object, ...]) -> None:
    found = filter_of(text)
    assert (found["attribute"], found["op"], found.get("value")) == meant


@pytest.mark.parametrize(
    "words", [["--boost", "brand==a"], ["--pin", "50"], ["--pin", "50=x"], ["--max-per", "=2"]]
)
def test_rules_that_cannot_be_read(words, url, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["recommend", USER, *words, "--url", url]) == 2
    assert "is not like" in capsys.readouterr().err


def test_a_session_and_a_stranger(url: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["recommend", "--session", "i000", "nope", "-k", "2", "--url", url]) == 0
    assert "not in the model: nope" in capsys.readouterr().out
    assert main(["recommend", "nobody", "-k", "2", "--url", url]) == 0
    said = capsys.readouterr().out
    assert "warning: user 'nobody' is not known" in said
    assert "warning: these are popular items" in said
    assert "interactions in training" in said


def test_why(url: str, client: Client, capsys: pytest.CaptureFixture[str]) -> None:
    item = client.recommend(USER, k=1).items[0].item_id
    assert main(["explain", USER, item, "--url", url]) == 0
    said = capsys.readouterr().out
    answer = client.explain(USER, item)
    total = sum(expert.contribution for expert in answer.experts)
    expected = f"score {answer.score:.2f} = popularity {answer.bias:+.2f}, experts {total:+.2f}"
    assert expected in said.splitlines()
    assert f"rank {answer.rank} of {answer.ranked_items}" in said
    for expert in answer.experts:
        row = next(line for line in said.splitlines() if f" {expert.name} " in line)
        assert row.split()[2:] == [
            f"{expert.weight:.0%}",
            f"{expert.usual_weight:.0%}",
            f"{expert.contribution:+.2f}",
            str(expert.rank_without),
        ]
    for modality, value in answer.by_modality.items():
        assert re.search(rf"^{modality}\s.*{re.escape(f'{value:+.2f}')}$", said, re.MULTILINE)
    assert answer.history[0].title in said


@pytest.mark.parametrize("words", [["recommend", USER], ["explain", USER, "i000"]])
def test_answers_as_json(words: list[str], url: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([*words, "--url", url, "--json"]) == 0
    answer = json.loads(capsys.readouterr().out)
    assert answer["user_id"] == USER
    assert {"model_version", "request_id"} <= answer.keys()


@pytest.mark.parametrize(
    ("words", "status", "message"),
    [
        (["recommend"], 2, "whom? Name a user, --session ITEM ..., or both"),
        (["recommend", USER, "-k", "100000"], 1, "100000 is too many, the most is 1000"),
        (["explain", USER, "nope"], 1, "item 'nope' is not in model version"),
        (["recommend", USER, "--url", "localhost:8000"], 1, "must start with http://"),
    ],
)
def test_mistakes(
    words: list[str], status: int, message: str, url: str, capsys: pytest.CaptureFixture[str]
) -> None:
    words = words if "--url" in words else [*words, "--url", url]
    assert main(words) == status
    assert message in capsys.readouterr().err


def test_nobody_serves(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["recommend", USER, "--url", "http://127.0.0.1:9"]) == 1
    said = capsys.readouterr().err
    assert "http://127.0.0.1:9 cannot be reached" in said
    assert "`magnet run` starts one" in said


def test_items_that_are_like_one(
    url: str, client: Client, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["similar", "i003", "-k", "4", "--url", url]) == 0
    first, _, *rows, last = capsys.readouterr().out.splitlines()
    answer = client.similar("i003", k=4)
    assert first == f"similar to {answer.title}"
    assert last.startswith(f"model {answer.model_version}, ")
    for item, row in zip(answer.items, rows, strict=True):
        figures = [item.similarity, *item.by_modality.values()]
        assert row.split()[0] == item.item_id
        assert row.split()[-len(figures) :] == [f"{figure:.2f}" for figure in figures]
    assert main(["similar", "i003", "--modality", "smell", "--url", url]) == 1
    assert "smell" in capsys.readouterr().err


def test_what_is_known_of_a_user(
    url: str, client: Client, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["user", "u004", "--limit", "3", "--url", url]) == 0
    printed = capsys.readouterr().out
    answer = client.user("u004", limit=3)
    assert printed.startswith("u004: known to the model, lists are from: model\n")
    assert all(item.title in printed for item in answer.history)
    assert answer.taste is not None
    first = answer.taste.experts[0]
    assert f"experts: {first.name} {first.weight:.0%}" in printed
    assert main(["user", "nobody", "--url", url]) == 1
    assert "'nobody' is not known" in capsys.readouterr().err


@pytest.mark.parametrize("rest", ["127.0.0.1:9", "127.0.0.1:bad", "[::1"])
def test_a_password_in_the_address_is_not_repeated(
    rest: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["similar", "i1", "--url", f"http://me:secret@{rest}"]) == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("error: ")
    assert "secret" not in line
