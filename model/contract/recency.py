"""How much each item of a history counts: the one formula that training and serving share.

Letters: H history length.
"""

import numpy as np
from numpy.typing import NDArray


def recency_weights(age_H: NDArray[np.integer], power: float) -> NDArray[np.float32]:
    """(1 + age)^-power, where age 0 is the newest item of a history (ours).

    A power of 0 counts every item alike, for histories whose order means nothing.
    """
    return ((1.0 + age_H) ** -power).astype(np.float32)
