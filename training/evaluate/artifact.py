"""An artifact beside the data that it was trained on: its scores for users as training knew them.

Users are folded in from their training histories: the vectors that an artifact serves know the
held-out parts too.

Letters: B users of a block, I items.
"""

from collections.abc import Callable
from functools import lru_cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from model.artifact.files import Artifact, read_artifact
from model.runtime.artifact import ArtifactScorer
from model.runtime.profile import History, Profile, ProfileMaker
from model.runtime.scorer import OnnxScorer
from training.data.dataset import DataConfig, Dataset, load_dataset
from training.data.tables import DataError
from training.evaluate.protocol import scores_to_rank, top_items


class ArtifactEvaluation:
    """Profiles and scores of a data set's users, without what was held out."""

    def __init__(
        self, artifact: Artifact, dataset: Dataset, folders: tuple[Path, Path] | None = None
    ) -> None:
        self.artifact, self.dataset = artifact, dataset
        self._folders = folders
        scorer = ArtifactScorer.of(artifact)
        self.scorer: OnnxScorer = scorer.scorer
        self.profiles: ProfileMaker = scorer.profiles
        self._whole = scorer

    @classmethod
    def open(cls, artifact: Path, data: Path) -> "ArtifactEvaluation":
        """Read both, splitting the data as they were split for training.

        Raises:
            ArtifactError: the artifact is missing or damaged.
            DataError: the data cannot be used, or are not what the artifact was trained on.
        """
        opened = read_artifact(artifact)
        trained_on = opened.manifest.training
        config = DataConfig.model_validate(trained_on.config["data"] | {"folder": data})
        dataset = load_dataset(config)
        if dataset.sha256 != trained_on.data_sha256:
            raise DataError(
                data,
                f"is not what {artifact} was trained on (the data's checksum differs), so its "
                "test part may have been trained on",
                "fit again, or name the right folder (`run` says which in its line `training on`)",
            )
        return cls(opened, dataset, (artifact.resolve(), data.resolve()))

    def __reduce__(self) -> tuple[Callable[[Path, Path], "ArtifactEvaluation"], tuple[Path, Path]]:
        """Another process gets the folders, and opens them once."""
        assert self._folders is not None
        return _opened_once, self._folders

    def history(self, user: int) -> History:
        """Rows of a user's training history, oldest first."""
        histories = self.dataset.train_histories
        first, stop = histories.offset_U1[user : user + 2]
        rows_H: History = histories.item_P[first:stop]
        return rows_H

    def profile(self, user: int) -> Profile:
        """A user's profile from their training history, and the free part that the artifact has."""
        profiles = self.profiles
        known = profiles.of_history(self.history(user))
        served = self._whole.user(user).vector_VMD
        free_VMD = served - profiles.of_history(self._whole.history(user)).vector_VMD
        return Profile(known.vector_VMD + free_VMD, known.item_item, known.of_histories)

    def score(self, user_B: NDArray[np.int64]) -> NDArray[np.float32]:
        """Scores [B, I] of some users with every item."""
        return self.scorer.score_all([self.profile(user) for user in user_B.tolist()])

    def best(self, user_B: NDArray[np.int64], k: int) -> NDArray[np.int64]:
        """The lists of some users [B, K], best item first, as `evaluate` ranks them."""
        return top_items(scores_to_rank(self.score, self.dataset, user_B), k)


@lru_cache(maxsize=1)
def _opened_once(artifact: Path, data: Path) -> ArtifactEvaluation:
    return ArtifactEvaluation.open(artifact, data)
