"""Golden pairs: scores recorded at export, which whoever loads the model must compute too.

Letters: B golden users, C golden items, K experts.
"""

from collections.abc import Sequence

import numpy as np

from model.artifact.files import ArtifactError
from model.artifact.manifest import Golden
from model.runtime.profile import Profile
from model.runtime.scorer import OnnxScorer

TOLERANCE = 1e-4
"""Float32 sums on another CPU differ by some 1e-6; those of a wrong file by far more."""


class GoldenMismatch(ArtifactError):
    """The model loads, but does not compute what it computed at export."""


def record_golden(
    scorer: OnnxScorer,
    profiles: Sequence[Profile],
    user_rows: Sequence[int],
    item_rows: Sequence[int],
) -> Golden:
    """What some users' profiles, in the order of `user_rows`, get for some items."""
    rows_C = np.array(item_rows, dtype=np.intp)
    contributions = [scorer.by_expert(profile, rows_C).tolist() for profile in profiles]
    return Golden(
        user_rows=list(user_rows),
        item_rows=list(item_rows),
        scores=[scorer.score(profile, rows_C).tolist() for profile in profiles],
        contributions=contributions,
    )


def check_golden(golden: Golden, scorer: OnnxScorer, profiles: Sequence[Profile]) -> None:
    """Compute the golden pairs again; GoldenMismatch names the first user who differs."""
    rows_C = np.array(golden.item_rows, dtype=np.intp)
    for place, profile in enumerate(profiles):
        score_C = scorer.score(profile, rows_C)
        contribution_CK = scorer.by_expert(profile, rows_C)
        for what, computed, expected in (
            ("score", score_C, golden.scores[place]),
            ("contribution", contribution_CK, golden.contributions[place]),
            (
                "sum of bias and contributions",
                scorer.bias_I[rows_C] + contribution_CK.sum(axis=1),
                score_C,
            ),
        ):
            if not np.allclose(computed, expected, rtol=TOLERANCE, atol=TOLERANCE):
                raise GoldenMismatch(
                    f"golden user {place}: the {what} differs from what was recorded at export; "
                    "export it again"
                )
