"""The command `publish`: an artifact becomes the live model of a Redis-protocol server.

Knows the command line; the steps are in `training.publish`.
"""

import argparse
from pathlib import Path

from training.publish import PublishPolicy, publish_artifact
from training.server_options import add_server_options


def configure(parser: argparse.ArgumentParser) -> None:
    """Describe the command and register its options."""
    parser.description = (
        "Write an artifact to a Redis-protocol server, verify it there and make it live in one "
        "atomic step. A publish that fails or is killed changes nothing live."
    )
    parser.add_argument("artifact", type=Path, help="an artifact folder")
    add_server_options(parser)
    parser.add_argument(
        "--keep",
        type=int,
        default=PublishPolicy().keep,
        help="superseded versions to keep for a roll-back (default: %(default)s)",
    )
    parser.set_defaults(run=_publish)


def _publish(options: argparse.Namespace) -> None:
    publish_artifact(
        options.artifact,
        options.redis_url,
        options.namespace,
        policy=PublishPolicy(keep=options.keep),
    )
