import torch

from model.network.magnet import log_popularity


def test_an_item_that_nobody_has_chosen_is_as_popular_as_the_least_chosen() -> None:
    popularity_I = log_popularity(torch.tensor([7, 0, 3, 0]))
    assert torch.equal(popularity_I, torch.tensor([8.0, 4.0, 4.0, 4.0]).log())


def test_popularity_of_a_catalogue_that_nobody_has_used_is_zero() -> None:
    assert torch.equal(log_popularity(torch.zeros(3)), torch.zeros(3))
