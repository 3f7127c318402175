"""An artifact beside the data that it was trained on: what it says of users as training knew them.

Knows the exported graphs and the split; knows nothing about what is measured with them. Users are
folded in from their training histories: the vectors that an artifact serves know the held-out
parts too.

Letters: B users of a block, I items, K experts, V views, M modalities.
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array

from model.artifact.files import Artifact, read_artifact
from training.data.dataset import DataConfig, Dataset, load_dataset
from training.data.histories import fold_in_histories
from training.data.tables import DataError
from training.export.onnx import session
from training.fit.item_item import from_tensors, neighbourhoods


@dataclass(frozen=True, slots=True, kw_only=True)
class Breakdown:
    """One user's scores, taken apart: score = bias + the sum of the contributions."""

    score_I: NDArray[np.float32]
    weight_IK: NDArray[np.float32]
    contribution_IKVM: NDArray[np.float32]


class HeldOut:
    """Scores of the users of a data set through `head.onnx`, taken apart through `explain.onnx`."""

    def __init__(self, artifact: Artifact, dataset: Dataset) -> None:
        self.artifact, self.dataset = artifact, dataset
        self._head = session(artifact.files["head.onnx"])
        self._explain = session(artifact.files["explain.onnx"])
        self._neighbourhood_II = from_tensors(artifact.tensors)
        self._weight_UI = dataset.train_histories.recency_weighted(artifact.manifest.recency_power)

    @classmethod
    def open(cls, artifact: Path, data: Path) -> "HeldOut":
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
                "fit again, or name the right folder",
            )
        return cls(opened, dataset)

    def score(self, user_B: NDArray[np.int64]) -> NDArray[np.float32]:
        """Scores [B, I] of some users with every item."""
        tensors = self.artifact.tensors
        feeds = self._users(self._weight_UI[user_B]) | {
            "item": tensors["item_embeddings"],
            "item_routing": tensors["item_routing"],
            "item_bias": tensors["item_bias"],
        }
        score_BI: NDArray[np.float32] = self._head.run(["score"], feeds)[0]
        return score_BI

    def explain(self, user: int) -> Breakdown:
        """One user's scores with every item, taken apart."""
        tensors = self.artifact.tensors
        feeds = self._users(self._weight_UI[[user]]) | {
            "item": tensors["item_embeddings"][None],
            "item_routing": tensors["item_routing"][None],
            "item_bias": tensors["item_bias"][None],
        }
        score, weight, contribution = self._explain.run(["score", "weight", "contribution"], feeds)
        return Breakdown(score_I=score[0], weight_IK=weight[0], contribution_IKVM=contribution[0])

    def _users(self, weight_BI: csr_array) -> dict[str, NDArray[np.float32]]:
        """The users' side of the graphs' inputs."""
        return {
            "user": fold_in_histories(weight_BI, self.artifact.tensors["item_foldin"]),
            "neighbourhood": neighbourhoods(weight_BI, self._neighbourhood_II),
        }
