import numpy as np
from scipy.sparse import csr_array

from training.data.features import ModalityFeatures
from training.experiments.cold_start.runner import content_knn, popularity, random_scores


def features_of(*rows: list[float]) -> ModalityFeatures:
    return ModalityFeatures(
        x_IF=np.array(rows, dtype=np.float32), present_I=np.ones(len(rows), dtype=np.bool_)
    )


def test_content_neighbours_of_the_history_come_first() -> None:
    shape = features_of([1, 0.1], [1, -0.1], [-1, 0.2], [-1, -0.2])
    history = csr_array(np.array([[1, 0, 0, 0], [0, 0, 0.5, 0]], dtype=np.float32))
    score = content_knn(history, [shape], neighbours=1)(np.array([0, 1]))
    np.testing.assert_allclose(score, [[0, 1, 0, 0], [0, 0, 0, 0.5]])
    colour = features_of([1, 0], [-1, 0], [1, 0.1], [-1, -0.1])
    both = content_knn(history, [shape, colour], neighbours=1)(np.array([0]))
    np.testing.assert_allclose(both, [[0, 1, 1, 0]])


def test_popularity_breaks_ties_at_random() -> None:
    train = csr_array(np.array([[1, 1, 0, 0, 0, 0], [1, 0, 0, 0, 0, 0]], dtype=np.float32))
    orders = {
        tuple(np.argsort(-popularity(train, seed)(np.array([0])))[0].tolist()) for seed in range(20)
    }
    assert {order[:2] for order in orders} == {(0, 1)}
    assert {order[2] for order in orders} == {2, 3, 4, 5}


def test_random_scores_differ_between_users_and_repeat_by_seed() -> None:
    first, again, other = (random_scores(30, seed)(np.arange(2)) for seed in (0, 0, 1))
    np.testing.assert_array_equal(first, again)
    assert not np.array_equal(first, other)
    assert not np.array_equal(first[0], first[1])
