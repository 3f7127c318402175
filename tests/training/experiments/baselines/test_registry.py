"""How settings are chosen: on validation alone, within the time allowed."""

from dataclasses import replace
from itertools import combinations

import numpy as np
import pytest

from training.data.dataset import Dataset
from training.evaluate.closed_forms import EASE, Popularity
from training.experiments.baselines.lightgcn import LightGCN
from training.experiments.baselines.registry import BASELINES, thinned_validation, tune

EVERY_EASE = BASELINES["ease"].grid


def test_tuning_never_sees_the_test_part(communities: Dataset):
    candidates = [Popularity(), *EVERY_EASE]
    other_test = replace(communities, test=communities.train)
    chosen = {
        tune(candidates, dataset, seed=0, max_seconds=60).baseline
        for dataset in (communities, other_test)
    }
    assert len(chosen) == 1
    assert chosen.pop() != Popularity()


def test_out_of_time_only_the_first_is_tried(communities: Dataset):
    candidates = [Popularity(), *EVERY_EASE]
    tuned = tune(candidates, communities, seed=0, max_seconds=0)
    assert (tuned.baseline, tuned.tried) == (Popularity(), 1)


def test_out_of_time_training_stops_after_an_epoch(communities: Dataset):
    tuned = tune([LightGCN(loss="bpr")], communities, seed=0, max_seconds=0)
    assert not tuned.fitted.finished


def test_validation_is_thinned_to_whole_users(communities: Dataset):
    thinned = thinned_validation(communities, max_users=10)
    per_user = np.diff(communities.valid.indptr)
    kept = np.diff(thinned.valid.indptr)
    assert (kept > 0).sum() == 10
    assert ((kept == 0) | (kept == per_user)).all()
    assert thinned_validation(communities, max_users=80) is communities


@pytest.mark.parametrize("name", BASELINES)
def test_no_setting_stands_twice_in_a_grid(name: str):
    grid = BASELINES[name].grid
    assert len(set(grid)) == len(grid)


def test_no_two_baselines_share_a_setting():
    for one, other in combinations(BASELINES.values(), 2):
        assert not set(one.grid) & set(other.grid)


def test_the_best_on_validation_is_chosen(communities: Dataset):
    useful = EASE(penalty=10.0, user_damping=0.0)
    tuned = tune([Popularity(), useful], communities, seed=0, max_seconds=60)
    assert tuned.baseline == useful
    assert tuned.tried == 2
