"""Whether a server may throw away what it was given, as `INFO memory` tells."""

from collections.abc import Mapping
from typing import Any

KEEPS_ALL = "noeviction"
_POLICY = "maxmemory_policy"


def eviction_warning(told: Mapping[str, Any]) -> str | None:
    """What is wrong with the server's policy, and what to do; None if nothing is.

    Args:
        told: the answer to `INFO memory`, or those of several servers by name.
    """
    infos = [told] if _POLICY in told else [each for each in told.values() if _POLICY in each]
    unsafe = sorted({str(each[_POLICY]) for each in infos} - {KEEPS_ALL})
    if not unsafe:
        return None
    return (
        f"Redis has maxmemory-policy {', '.join(unsafe)}: when it is full it throws models and "
        f"feedback away; set it to {KEEPS_ALL}"
    )
