"""Peak resident memory of this process.

Knows the operating system's counters; knows nothing about what uses the memory.
"""

import resource
import sys
from pathlib import Path

_CLEAR = Path("/proc/self/clear_refs")
_STATUS = Path("/proc/self/status")
_RESET_PEAK = "5"


def reset_peak() -> None:
    """Start a new peak; where the system cannot (only Linux can), the old one goes on."""
    if _CLEAR.exists():
        _CLEAR.write_text(_RESET_PEAK)


def peak_mb() -> float:
    """The peak since the last reset, in MB (10^6 bytes)."""
    if _STATUS.exists():
        line = next(x for x in _STATUS.read_text().splitlines() if x.startswith("VmHWM:"))
        return int(line.split()[1]) * 1024 / 1e6
    used = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return used / 1e6 if sys.platform == "darwin" else used * 1024 / 1e6
