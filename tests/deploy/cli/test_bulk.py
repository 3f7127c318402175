"""`magnet recommend --all`: the lists of all users in one file, the same as the service gives."""

import json
import shutil
from pathlib import Path

import polars as pl
import pytest

from deploy.cli import bulk
from deploy.cli.app import main
from magnet_client import Client


@pytest.fixture
def lists(artifact_dir: Path, tmp_path: Path) -> Path:
    out = tmp_path / "lists.parquet"
    command = ["recommend", "--all", "--k", "7", "--out", str(out), "--artifact", str(artifact_dir)]
    assert main(command) == 0
    return out


def test_every_user_has_the_list_that_the_service_gives(lists: Path, url: str) -> None:
    rows = pl.read_parquet(lists)
    with Client(url, trust_env=False) as client:
        version = client.model().model_version
        for (user,), own in rows.group_by(["user_id"], maintain_order=True):
            answer = client.recommend(str(user), k=7)
            assert own["item_id"].to_list() == [item.item_id for item in answer.items]
            assert own["rank"].to_list() == [item.rank for item in answer.items]
            assert own["score"].to_list() == pytest.approx(
                [item.score for item in answer.items], abs=1e-5
            )
            assert own["reasons"].to_list() == [item.reasons for item in answer.items]
            assert set(own["model_version"]) == {version}
        assert rows["user_id"].n_unique() == client.model().num_users
    assert not lists.with_name(f"{lists.name}.parts").exists()


def test_short_lists_are_told_with_what_is_left_out(
    artifact_dir: Path, url: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out, beside = tmp_path / "lists.parquet", tmp_path / "lists.parquet.short"
    command = ["recommend", "--all", "--out", str(out), "--artifact", str(artifact_dir)]
    with Client(url, trust_env=False) as client:
        num_items = client.model().num_items
        assert main([*command, "--k", str(num_items)]) == 0
        said = capsys.readouterr().out
        short = pl.read_parquet(beside)
        for row in short.head(20).iter_rows(named=True):
            answer = client.recommend(row["user_id"], k=num_items)
            left_out = {cause: count for cause, count in row["left_out"].items() if count}
            assert (row["items"], left_out) == (len(answer.items), answer.left_out)
            assert row["warnings"] == answer.warnings
    sizes = pl.read_parquet(out).group_by("user_id").len().filter(pl.col("len") < num_items)
    assert set(sizes["user_id"]) == set(short["user_id"])
    assert f"{beside}: {len(short)} lists are shorter than asked for; left out: seen" in said

    assert main([*command, "--k", "2"]) == 0
    assert "shorter" not in capsys.readouterr().out
    assert not beside.exists()


def test_empty_lists_are_told(
    artifact_dir: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "lists.parquet"
    command = ["recommend", "--all", "--out", str(out), "--artifact", str(artifact_dir)]
    assert main([*command, "--category", "no such"]) == 0
    short = pl.read_parquet(f"{out}.short")
    assert f"{len(short)} of them empty (as of {short['user_id'][0]!r})" in capsys.readouterr().out
    assert len(pl.read_parquet(out)) == 0
    assert set(short["items"]) == {0}
    assert short["warnings"].list.join(" ").str.contains("no such").all()


def test_lists_without_reasons_are_the_same(
    artifact_dir: Path, lists: Path, tmp_path: Path
) -> None:
    out = tmp_path / "bare.parquet"
    command = ["recommend", "--all", "--k", "7", "--out", str(out), "--artifact", str(artifact_dir)]
    assert main([*command, "--no-reasons"]) == 0
    with_reasons, bare = pl.read_parquet(lists), pl.read_parquet(out)
    assert bare.drop("reasons").equals(with_reasons.drop("reasons"))
    is_known = bare["source"] != "popular"
    assert is_known.any()
    assert with_reasons["reasons"].list.len().min() >= 2
    assert bare.filter(is_known)["reasons"].list.len().max() == 0


def test_a_run_that_was_stopped_goes_on_where_it_ended(
    artifact_dir: Path, lists: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bulk, "PART_USERS", 10)
    out = tmp_path / "again.parquet"
    command = ["recommend", "--all", "--k", "7", "--out", str(out), "--artifact", str(artifact_dir)]

    made = []
    lists_of = bulk._lists

    async def until_the_third(*asked):
        if len(made) == 2:
            raise OSError("no space left on device")
        made.append(asked)
        return await lists_of(*asked)

    monkeypatch.setattr(bulk, "_lists", until_the_third)
    assert main(command) == 1
    assert not out.exists()
    done = sorted((tmp_path / "again.parquet.parts").glob("*.parquet"))
    assert [path.name for path in done] == ["000000.parquet", "000001.parquet"]
    times = [path.stat().st_mtime_ns for path in done]

    made.clear()
    monkeypatch.setattr(bulk, "_lists", lists_of)
    kept = shutil.copytree(tmp_path / "again.parquet.parts", tmp_path / "kept")
    assert [path.stat().st_mtime_ns for path in sorted(kept.glob("*.parquet"))] == times
    assert main(command) == 0
    assert pl.read_parquet(out).equals(pl.read_parquet(lists))


def test_parts_of_another_run_are_not_mixed_in(
    artifact_dir: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "lists.parquet"
    parts = tmp_path / "lists.parquet.parts"
    parts.mkdir()
    (parts / "plan.json").write_text(json.dumps({"model_version": "another"}))
    command = ["recommend", "--all", "--out", str(out), "--artifact", str(artifact_dir)]
    assert main(command) == 1
    assert f"{parts} holds parts of lists of another model" in capsys.readouterr().err
    assert not out.exists()


def test_what_cannot_be_served_is_said(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "lists.parquet"
    command = ["recommend", "--all", "--out", str(out)]
    assert main([*command, "--artifact", str(tmp_path / "nothing")]) == 1
    assert "nothing has no manifest.json" in capsys.readouterr().err
    monkeypatch.setenv("REDIS_URL", "redis://127.0.0.1:1/0")
    assert main(command) == 1
    assert "Redis at 127.0.0.1:1 is not reachable" in capsys.readouterr().err
    assert main(["recommend", "u004", "--no-reasons"]) == 2
    assert "--no-reasons goes with --all" in capsys.readouterr().err
    assert main(["recommend", "--all"]) == 2
    assert "--all and --out FILE go together" in capsys.readouterr().err
    assert main(["recommend", "u004", "--all", "--out", str(out)]) == 2
