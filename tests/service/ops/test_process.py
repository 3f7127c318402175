"""What a process keeps of the memory of models that came and went."""

import platform
import subprocess
import sys

import pytest

_CHURN = """
import random, sys
import numpy as np
from service.ops.process import settle_allocations
if sys.argv[1] == "mapped":
    settle_allocations()
rng, kept = random.Random(0), []
def resident_mb():
    with open("/proc/self/statm") as text:
        return int(text.read().split()[1]) * 4096 / 1e6
before = resident_mb()
for _ in range(10):
    model = []
    for _ in range(12):
        model.append(np.ones(rng.randrange(300_000, 900_000)))
        kept.append(bytearray(2_000))
    del model
print(resident_mb() - before)
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="tells about glibc")
@pytest.mark.parametrize(("how", "least", "most"), [("mapped", -5, 5), ("default", 15, 1000)])
def test_models_that_went_leave_nothing_behind(how: str, least: float, most: float) -> None:
    done = subprocess.check_output([sys.executable, "-c", _CHURN, how], text=True)
    assert least < float(done) < most
