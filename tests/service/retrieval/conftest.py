from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from model.artifact.files import Artifact
from model.runtime.scorer import OnnxScorer
from service.retrieval.exact import ExactRetriever


@pytest.fixture(scope="session")
def scorer_of() -> Callable[[Artifact], OnnxScorer]:
    def make(artifact: Artifact) -> OnnxScorer:
        return OnnxScorer(artifact.files, artifact.tensors)

    return make


@pytest.fixture(scope="session")
def exact_of(scorer_of) -> Callable[[Artifact], ExactRetriever]:
    def make(artifact: Artifact) -> ExactRetriever:
        return ExactRetriever(
            scorer_of(artifact),
            artifact.tensors,
            [expert.template for expert in artifact.manifest.experts],
        )

    return make


@pytest.fixture(scope="session")
def large(make_artifact) -> Artifact:
    """Some thousand items, so that bounds and not sizes decide what is routed."""
    artifact: Any = make_artifact("large", 3, num_items=9000)
    assert len(artifact.tensors["item_bias"]) == 9000
    return artifact


@pytest.fixture
def nothing() -> np.ndarray:
    return np.empty(0, dtype=np.intp)
