import numpy as np
import pytest

from service.serving.snapshot import ProbeUser, ProbeUsers


@pytest.mark.parametrize("lengths", [(), (0,), (3, 0, 2)])
def test_they_are_made_again_from_what_is_kept(lengths, tmp_path) -> None:
    golden = [
        ProbeUser(np.full((1, 1, 2), length, np.float32), np.arange(length, dtype=np.int32))
        for length in lengths
    ]
    sampled = [ProbeUser(np.ones((1, 1, 2), np.float32), np.array([7], dtype=np.int32))]
    kept = ProbeUsers(golden=golden, sampled=sampled).arrays()
    np.savez(tmp_path / "kept.npz", **kept)
    with np.load(tmp_path / "kept.npz") as read:
        again = ProbeUsers.of(dict(read))
    for users, expected in ((again.golden, golden), (again.sampled, sampled)):
        assert len(users) == len(expected)
        for user, other in zip(users, expected, strict=True):
            np.testing.assert_array_equal(user.vector_VMD, other.vector_VMD)
            assert user.history_H.tolist() == other.history_H.tolist()
