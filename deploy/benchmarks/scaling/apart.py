"""Measurements in a process of their own, whose peak of memory is of nothing else."""

import multiprocessing
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from typing import ParamSpec, TypeVar

import torch

from training.fit.distributed import reuse_large_buffers

Arguments = ParamSpec("Arguments")
Result = TypeVar("Result")


def apart(
    measure: Callable[Arguments, Result], *args: Arguments.args, **kwargs: Arguments.kwargs
) -> Result:
    """Call a function in a fresh process that computes on one thread."""
    fresh = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(max_workers=1, mp_context=fresh, initializer=_one_thread) as pool:
        return pool.submit(measure, *args, **kwargs).result()


def _one_thread() -> None:
    torch.set_num_threads(1)
    reuse_large_buffers()
