"""Fewer columns for features: the principal components of what was encoded.

Knows vectors; knows nothing about contents, caches or files.

Letters: N vectors, F width of a vector, P principal components.
"""

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray
from sklearn.decomposition import PCA

from training.encode.encoder import EncoderError

_FITTED_ON = 50_000
"""Most vectors that components are fitted to, drawn at random."""

Vectors = NDArray[np.float32]
Project = Callable[[Vectors], Vectors]


def principal_components(vectors: Sequence[Vectors], num_components: int) -> Project:
    """What takes a vector [F] to its components [P], the one that tells most first.

    Args:
        vectors: of all contents, each once.
        num_components: P.

    Raises:
        EncoderError: there are fewer vectors, or they are narrower.
    """
    most = min(len(vectors), len(vectors[0]))
    if num_components > most:
        raise EncoderError(
            f"{num_components} principal components cannot be had of {len(vectors):,} contents in "
            f"{len(vectors[0]):,} columns: --pca {most} at most"
        )
    chosen = range(len(vectors))
    if len(vectors) > _FITTED_ON:
        chosen = np.random.default_rng(0).choice(len(vectors), _FITTED_ON, replace=False).tolist()
    fitted = PCA(num_components, svd_solver="covariance_eigh")
    fitted.fit(np.stack([vectors[place] for place in chosen]))
    mean_F, component_PF = fitted.mean_, fitted.components_

    def project(vector_F: Vectors) -> Vectors:
        return np.asarray(component_PF @ (vector_F - mean_F), dtype=np.float32)

    return project
