import numpy as np
import pytest
import torch

from training.data.histories import Histories
from training.fit.config import TrainingConfig
from training.fit.sampler import Batch, Sampler, enough_negatives

CONFIG = TrainingConfig(
    batch_size=50,
    max_steps=100,
    negatives=40,
    longest_history=10,
    user_damping=0.0,
    popularity_power=0.0,
    cold_rate=0.0,
)


def sampler(histories: Histories, seed: int = 0, **changes: float | str) -> Sampler:
    return Sampler(
        config=CONFIG.model_copy(update=changes),
        histories=histories,
        has_content=True,
        generator=torch.Generator().manual_seed(seed),
        device=torch.device("cpu"),
    )


def heavy_and_light() -> Histories:
    """User 0 has 90 items; users 1 to 5 have items 90 and 91 each; item 92 nobody has."""
    user_N = np.array([0] * 90 + [user for user in range(1, 6) for _ in range(2)])
    item_N = np.array([*range(90), *([90, 91] * 5)])
    return Histories.of(user_N, item_N, None, (6, 93))


def epoch(seed: int = 0, **changes: float | str) -> list[Batch]:
    return list(sampler(heavy_and_light(), seed, **changes).epoch())


def drawn_items(batches: list[Batch]) -> np.ndarray:
    return np.concatenate([batch.item_B.numpy() for batch in batches])


def histories(batch: Batch) -> torch.Tensor:
    """The items [B, I] that a batch's positives are predicted from."""
    history_BI = torch.zeros(len(batch.item_B), 93)
    history_BI[:, batch.item_X] = batch.history.matrix.to_dense()
    return history_BI > 0


def test_an_epoch_has_as_many_draws_as_positives_in_bounded_steps() -> None:
    assert [len(batch.item_B) for batch in epoch()] == [50, 50]
    assert [len(batch.item_B) for batch in epoch(max_steps=1)] == [100]
    sampled = epoch(max_steps=1, propagation="sampled")
    assert [len(batch.item_B) for batch in sampled] == [50, 50]


@pytest.mark.parametrize(("num_users", "expected"), [(10, 256), (700, 350), (9000, 4096)])
def test_few_users_make_small_batches(num_users: int, expected: int) -> None:
    user_N = np.arange(20_000) % num_users
    histories = Histories.of(user_N, np.arange(20_000), None, (num_users, 20_000))
    assert len(next(sampler(histories, batch_size=4096).epoch()).item_B) == expected


@pytest.mark.parametrize(
    ("num_items", "expected"), [(100, 256), (10_000, 256), (30_000, 750), (1_000_000, 1024)]
)
def test_more_items_have_more_negatives(num_items: int, expected: int) -> None:
    assert enough_negatives(num_items) == expected


def test_heavy_users_are_weighed_down() -> None:
    even = (drawn_items(epoch()) < 90).mean()
    damped = (drawn_items(epoch(user_damping=1.0)) < 90).mean()
    assert 0.8 < even <= 1.0
    assert 0.05 < damped < 0.35  # one user of six


def test_negatives_follow_popularity_as_asked() -> None:
    def share_of_popular(power: float) -> float:
        drawn = [batch.negative_N for batch in epoch(popularity_power=power, negatives=2000)]
        return float(torch.isin(torch.cat(drawn), torch.tensor([90, 91])).float().mean())

    assert abs(share_of_popular(0.0) - 2 / 93) < 0.01
    assert abs(share_of_popular(1.0) - 12 / (90 * 2 + 12 + 1)) < 0.02


def test_a_positive_is_not_in_the_history_that_predicts_it() -> None:
    for batch in epoch():
        history_BI = histories(batch)
        assert not history_BI[torch.arange(len(batch.item_B)), batch.item_B].any()
        assert history_BI.any(dim=1).all()


def test_a_positive_knows_its_user_and_a_share_of_them_their_free_part() -> None:
    likes_UI = torch.from_numpy(heavy_and_light().recency_weighted(0.0).toarray() > 0)
    free = []
    for seed in range(20):
        for batch in epoch(seed, user_dropout=0.3):
            assert likes_UI[batch.user_B, batch.item_B].all()
            assert (likes_UI[batch.user_B] | ~histories(batch)).all()
            assert batch.free_B1.shape == (len(batch.item_B), 1)
            free.append(batch.free_B1)
    free_B = torch.cat(free)
    assert set(free_B.unique().tolist()) == {0.0, 1.0}
    assert free_B.mean().item() == pytest.approx(0.7, abs=0.05)


def test_a_seed_fixes_the_draws() -> None:
    assert np.array_equal(drawn_items(epoch(1)), drawn_items(epoch(1)))
    assert not np.array_equal(drawn_items(epoch(1)), drawn_items(epoch(2)))


def test_as_many_positives_and_negatives_are_shown_cold_as_asked_for() -> None:
    assert not any(len(batch.cold_Y) for batch in epoch())
    batches = [batch for seed in range(20) for batch in epoch(seed, cold_rate=0.3)]
    for places in ([x.place_B for x in batches], [x.place_N for x in batches]):
        cold = [place >= len(x.item_X) for place, x in zip(places, batches, strict=True)]
        assert torch.cat(cold).float().mean().item() == pytest.approx(0.3, abs=0.05)


def test_places_are_those_of_the_items() -> None:
    for batch in epoch(cold_rate=0.3):
        embedded = torch.cat([batch.item_X, batch.cold_Y])
        assert torch.equal(embedded[batch.place_B], batch.item_B)
        assert torch.equal(embedded[batch.place_N], batch.negative_N)
        for items in (batch.item_X, batch.cold_Y, batch.contrasted_C):
            assert torch.equal(items, items.unique())
        assert torch.isin(batch.item_X[batch.contrasted_C], batch.item_B).all()
