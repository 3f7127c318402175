"""All commands of `magnet`, in the order in which they are listed.

Knows names; the offline half has its own list, which is taken over as it is.
"""

from training.commands import COMMANDS as OFFLINE
from training.commands import Command

COMMANDS = (
    Command(
        "run",
        "data (yours, or a sample) -> model -> Redis -> service, on this machine",
        "deploy.local:configure",
        extras="service,training,local",
    ),
    *OFFLINE,
    Command(
        "recommend",
        "ask a service for a list",
        "deploy.magnet.lists:configure",
        extras="local",
    ),
    Command(
        "explain",
        "ask a service why an item has its score",
        "deploy.magnet.why:configure",
        extras="local",
    ),
    Command(
        "keys",
        "make, list and remove API keys of a service",
        "service.keys:configure",
        extras="service",
    ),
    Command(
        "completion",
        "print what makes a shell complete `magnet`",
        "deploy.magnet.completion:configure",
        extras="training,service,local",
    ),
)
MEANT = {
    "deploy": "run",
    "eval": "evaluate",
    "serve": "run",
    "start": "run",
    "train": "fit",
    "why": "explain",
}
"""What other tools call these commands."""
