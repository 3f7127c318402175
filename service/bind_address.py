"""Which interface the process listens at, and whether others can reach it.

Knows uvicorn's command line, the only place that says so before the first request; what a request
itself says (`is_local`) holds whatever server runs the application.
"""

import ipaddress
import sys
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path

import click
from uvicorn import main as uvicorn_command

_UVICORN: click.Command = uvicorn_command


def host_of_command(command: Sequence[str] = sys.argv) -> str | None:
    """The host of `uvicorn ...` or `python -m uvicorn ...`, options and UVICORN_HOST considered.

    None if this process was started otherwise, or listens at a socket that it was handed.
    """
    program = Path(command[0])
    if program.name != "uvicorn" and program.parts[-2:] != ("uvicorn", "__main__.py"):
        return None
    try:
        options = _UVICORN.make_context("uvicorn", list(command[1:])).params
    except (click.ClickException, click.exceptions.Exit):
        return None
    if options["uds"] is not None or options["fd"] is not None:
        return None
    host: str = options["host"]
    return host


@lru_cache  # every request asks about one of the few addresses that are ours
def is_local(host: str) -> bool:
    """Whether only this machine can connect to an address, or a path of a socket."""
    if host == "localhost" or host.startswith("/"):
        return True
    try:
        address = ipaddress.ip_address(host.partition("%")[0])
    except ValueError:
        return False
    mapped = address.ipv4_mapped if isinstance(address, ipaddress.IPv6Address) else None
    return (mapped or address).is_loopback
