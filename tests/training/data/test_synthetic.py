"""Planted tastes are really there, and the folder is one that training reads."""

from pathlib import Path

import numpy as np
import pytest

from deploy.cli.app import main
from training.data.dataset import DataConfig, load_dataset
from training.data.synthetic import (
    FEWEST_CHOICES,
    PlantedData,
    Planting,
    plant,
    read_planted,
    write_planting,
)
from training.data.tables import DataError

MODALITIES = ("behaviour", "text", "visual")


def coherence(data: PlantedData) -> np.ndarray:
    """Length of the mean of each user's chosen points in every modality [U, M]."""
    return np.array(
        [
            [np.linalg.norm(data.points[name][chosen].mean(axis=0)) for name in MODALITIES]
            for chosen in data.chosen
        ]
    )


def test_choices_follow_the_planted_modality() -> None:
    data = plant(Planting(noise=0.0))
    furthest = [MODALITIES[m] for m in coherence(data).argmax(axis=1)]
    agrees = [name in drivers for name, drivers in zip(furthest, data.drivers, strict=True)]
    assert np.mean(agrees) > 0.95
    assert set(data.drivers) == {(name,) for name in MODALITIES}


def test_noise_drowns_the_taste() -> None:
    loud = plant(Planting(noise=1.0))
    furthest = [MODALITIES[m] for m in coherence(loud).argmax(axis=1)]
    agrees = [name in drivers for name, drivers in zip(furthest, loud.drivers, strict=True)]
    assert np.mean(agrees) < 0.45
    lengths = [
        coherence(plant(Planting(noise=noise))).max(axis=1).mean() for noise in (0, 0.3, 0.6, 1)
    ]
    assert lengths == sorted(lengths, reverse=True)


def test_a_mixed_taste_leaves_out_the_third_modality() -> None:
    data = plant(Planting(noise=0.0, mixed=1.0, choices=60))
    assert all(len(set(drivers)) == 2 for drivers in data.drivers)
    least = [MODALITIES[m] for m in coherence(data).argmin(axis=1)]
    left_out = [name not in drivers for name, drivers in zip(least, data.drivers, strict=True)]
    assert np.mean(left_out) > 0.9


def test_choices_are_distinct_and_never_cold_and_popularity_has_a_tail() -> None:
    planting = Planting(cold=0.1, noise=1.0)
    data = plant(planting)
    assert all(len(set(chosen)) == len(chosen) >= FEWEST_CHOICES for chosen in data.chosen)
    counts = np.bincount(np.concatenate(data.chosen), minlength=planting.items)
    assert (counts == 0).sum() == 40
    assert counts.sum() == pytest.approx(planting.users * planting.choices, rel=0.1)
    warm = np.sort(counts[counts > 0])[::-1]
    assert warm[: len(warm) // 10].sum() > 2.5 * warm.sum() / 10


def test_a_seed_fixes_every_choice() -> None:
    first, again, other = (plant(Planting(users=50, seed=seed)) for seed in (3, 3, 4))
    assert first.drivers == again.drivers
    np.testing.assert_array_equal(np.concatenate(first.chosen), np.concatenate(again.chosen))
    for name in MODALITIES:
        np.testing.assert_array_equal(first.points[name], again.points[name])
        assert (first.points[name] != other.points[name]).any()


def test_the_folder_is_read_by_training(tmp_path: Path) -> None:
    planting = Planting(users=40, items=60, modalities=("visual", "acoustic"), mixed=0.5)
    data = write_planting(planting, tmp_path / "made")
    dataset = load_dataset(DataConfig(folder=tmp_path / "made"))
    assert list(dataset.features) == ["acoustic", "visual"]  # titles relate no items: no text
    assert dataset.split == "random"
    assert len(dataset.item_ids) == 60
    assert len({fields["title"] for fields in dataset.item_metadata}) == 60
    for user, chosen in enumerate(data.chosen):
        assert sorted(dataset.seen[[user]].indices) == sorted(chosen)
    np.testing.assert_array_equal(dataset.features["visual"].x_IF, data.points["visual"])
    planted = read_planted(tmp_path / "made", dataset.user_ids, ["behaviour", *dataset.features])
    assert planted is not None
    assert list(planted.values()) == data.drivers


def test_timestamps_are_in_the_order_of_choice(tmp_path: Path) -> None:
    data = write_planting(Planting(users=20, items=40, timestamps=True), tmp_path / "made")
    dataset = load_dataset(DataConfig(folder=tmp_path / "made"))
    assert dataset.split == "time"
    np.testing.assert_array_equal(dataset.histories.item_P, np.concatenate(data.chosen))


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--users", "0"], "--users"),
        (["--noise", "1.5"], "--noise"),
        (["--modalities", "text", "text"], "must differ"),
        (["--modalities", "behaviour"], "must differ"),
        (["--modalities", "../text"], "letters, digits and underscores"),
        (["--modalities", "--mixed", "0.5"], "needs a content modality"),
    ],
)
def test_what_cannot_be_planted(
    arguments: list[str], said: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["synthesise", "--out", str(tmp_path / "made"), *arguments]) == 2
    assert said in capsys.readouterr().err
    assert not (tmp_path / "made").exists()


def test_nothing_is_overwritten(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["synthesise", "--out", str(tmp_path / "made"), "--users", "9"]) == 0
    assert main(["synthesise", "--out", str(tmp_path / "made")]) == 1
    assert "not empty; choose another --out" in capsys.readouterr().err
    assert (tmp_path / "made" / "planted.tsv").read_text().count("\n") == 10


def test_planted_tastes_that_cannot_be_used(tmp_path: Path) -> None:
    (tmp_path / "planted.tsv").write_text("user_id\tmodalities\na\ttext|visual\nb\tsmell\n")
    with pytest.raises(DataError, match=r"planted.tsv:3: .*behaviour, text.*'smell'"):
        read_planted(tmp_path, ["a"], ["behaviour", "text", "visual"])
    with pytest.raises(DataError, match="no line for user 'c'"):
        read_planted(tmp_path, ["a", "c"], ["text", "visual", "smell"])
    (tmp_path / "planted.tsv").unlink()
    assert read_planted(tmp_path, ["a"], ["text"]) is None
