"""The options of every command that talks to the Redis of one namespace.

Knows argparse only.
"""

import argparse
import os


def add_server_options(parser: argparse.ArgumentParser) -> None:
    """Register them."""
    parser.add_argument(
        "--redis-url",
        default=os.environ.get("REDIS_URL"),
        required="REDIS_URL" not in os.environ,
        help="redis://[user:password@]host:port, redis+sentinel://host:port,.../master or "
        "redis+cluster://host:port,... (rediss: TLS); default: the variable REDIS_URL; "
        "see docs/operations.md",
    )
    parser.add_argument("--namespace", default="default", help="default: %(default)s")
