"""Options of the commands that ask a service, and the client that they make.

Knows addresses and keys; knows nothing about what is asked.
"""

import argparse
import os
from collections.abc import Iterator
from contextlib import contextmanager
from ipaddress import ip_address
from urllib.parse import urlsplit

from magnet_client import Client, Forbidden, MagnetError, ServiceAway, Unauthenticated
from training.explained import ExplainedError

DEFAULT_URL = "http://127.0.0.1:8000"
KEY_VARIABLE = "MAGNET_API_KEY"


class AskingError(ExplainedError):
    """The service did not answer as wished; the message says what to do."""


def add_service_options(parser: argparse.ArgumentParser) -> None:
    """Register them."""
    parser.add_argument(
        "--url",
        default=DEFAULT_URL,
        help=f"the service's (default: %(default)s); a key goes into the variable {KEY_VARIABLE}",
    )
    parser.add_argument("--json", action="store_true", help="print the service's answer as it is")


@contextmanager
def asking(options: argparse.Namespace) -> Iterator[Client]:
    """A client of the service that the options name.

    Raises:
        AskingError: for everything that a call raises, with what to do about it.
    """
    url: str = options.url
    try:
        with Client(
            url, api_key=os.environ.get(KEY_VARIABLE), trust_env=not _is_here(url)
        ) as client:
            yield client
    except ServiceAway as error:
        raise AskingError(
            f"{error} `magnet run` starts one on this machine; --url names another"
        ) from error
    except (Unauthenticated, Forbidden) as error:
        raise AskingError(
            f"{error}; put a key with the scope `read` into {KEY_VARIABLE} (`magnet keys new`)"
        ) from error
    except (MagnetError, ValueError) as error:
        raise AskingError(str(error)) from error


def _is_here(url: str) -> bool:
    """Whether the address is of this machine, which no proxy can reach."""
    host = urlsplit(url).hostname or ""
    try:
        return host == "localhost" or ip_address(host).is_loopback
    except ValueError:
        return False
