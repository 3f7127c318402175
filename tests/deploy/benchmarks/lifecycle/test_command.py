"""Three days and two nights, through real services and real retrainings."""

import json
from pathlib import Path

import numpy as np
import pytest

from deploy.benchmarks.lifecycle.__main__ import main
from training.retrain.settings import read_config

CONFIG = """
state = "unused"
[data]
folder = "unused"
[training]
max_epochs = 4
embedding_dim = 8
batch_size = 64
negatives = 16
[warm_start]
max_epochs = 2
[gate]
min_users = 5
margin = 0.9
group_margin = 0.9
"""
OLD, NEWCOMERS, ITEMS = 60, 20, 80
INTERACTIONS = (
    Path(__file__).parents[4] / "deploy" / "benchmarks" / "lifecycle" / "interactions.toml"
)


def test_settings_for_little_processor_leave_content_out() -> None:
    assert read_config(INTERACTIONS, {}).data.modalities == []


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """Users like either even or odd items; twenty of them come with the last three tenths."""
    rng = np.random.default_rng(0)
    rows = []
    for users, likes in ((range(OLD), 14), (range(OLD, OLD + NEWCOMERS), 18)):
        liked = [rng.permutation(np.arange(user % 2, ITEMS, 2))[:likes] for user in users]
        rows += [
            (user, items[n]) for n in range(likes) for user, items in zip(users, liked, strict=True)
        ]
    lines = [f"u{user}\ti{item}\t{second}" for second, (user, item) in enumerate(rows)]
    folder = tmp_path / "data"
    folder.mkdir()
    (folder / "shop.inter").write_text("\n".join(["user_id\titem_id\ttimestamp", *lines]) + "\n")
    titles = [f"i{item}\t{('Tea', 'Wool')[item % 2]} {item}" for item in range(ITEMS)]
    (folder / "items.tsv").write_text("\n".join(["item_id\ttitle", *titles]) + "\n")
    return folder


@pytest.fixture
def config(tmp_path: Path) -> Path:
    path = tmp_path / "retrain.toml"
    path.write_text(CONFIG)
    return path


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_nightly_retraining_gets_to_know_who_comes(
    data: Path, config: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    files = {name: tmp_path / f"month.{name}" for name in ("svg", "json", "md")}
    arguments = ["--data", str(data), "--config", str(config), "--days", "3"]
    arguments += ["--plot", str(files["svg"]), "--json", str(files["json"])]
    assert main([*arguments, "--document", str(files["md"])]) == 0
    found = json.loads(files["json"].read_text())
    assert [day["interactions"] for day in found["days"]] == [120, 120]
    assert [day["night"]["result"] for day in found["days"]] == ["promoted", "promoted"]
    assert [day["night"]["new_events"] for day in found["days"]] == [120, 120]
    assert all(day["night"]["warm"] for day in found["days"])
    visits = [visit for day in found["days"] for visit in day["visits"]]
    assert {visit["group"] for visit in visits} == {"come since"}
    assert len(visits) == 2 * NEWCOMERS
    assert found["leads"]["frozen"]["recall@20"]["verdict"] == "ahead"
    assert set(found["live"]) == {"recall@20", "ndcg@20"}
    assert all(0 < visit["live"]["recall@20"] <= 1 for visit in visits)
    assert files["svg"].read_text().startswith("<svg")
    assert "(month.svg)" in files["md"].read_text()
    out, err = capsys.readouterr()
    assert "Nights: 2 promoted" in out
    assert err.count("promoted") == 2


def test_a_first_model_that_is_refused_ends_it(
    data: Path, config: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config.write_text(CONFIG.replace("min_users = 5", "min_users = 500"))
    assert main(["--data", str(data), "--config", str(config), "--days", "2"]) == 1
    assert "error: the first training ended otherwise (refused): enough users" in (
        capsys.readouterr().err
    )


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--start", "1969-01-01"], "0 interactions came before 1969-01-01"),
        (["--start", "2001-01-01"], "and 0 in the 31 days from then on"),
    ],
)
def test_days_without_interactions_are_refused(
    data: Path, config: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], said: str
) -> None:
    assert main(["--data", str(data), "--config", str(config), *arguments]) == 1
    assert said in capsys.readouterr().err


@pytest.mark.parametrize("arguments", [["--days", "1"], ["--share", "1.5"]])
def test_what_makes_no_simulation_is_refused(arguments: list[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(arguments)
    assert ended.value.code == 2
