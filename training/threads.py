"""How many threads torch computes with.

Knows the machine; knows nothing about what is computed.
"""

import os

import torch


def leave_room() -> None:
    """Compute on half of the cores unless OMP_NUM_THREADS says otherwise.

    The tensors of a step are small: more threads gain little, and on a busy machine they wait for
    each other at every operation, which can make an epoch ten times as long.
    """
    if "OMP_NUM_THREADS" not in os.environ:
        torch.set_num_threads(max(1, (os.cpu_count() or 1) // 2))
