"""A log line is one JSON object, and its fields are the same in every release."""

import json
import re
import subprocess
import sys

_PROGRAM = """
import logging
from service.ops.logs import configure_logging, request_id
configure_logging("INFO")
request_id.set("abc")
extra = {"route": "/v1", "ms": 1.5, "color_message": "no"}
logging.getLogger("shop").info("%s of %d \u00fc", "one", 2, extra=extra)
request_id.set(None)
logging.getLogger("shop").debug("not shown")
try:
    raise ValueError("no")
except ValueError:
    logging.getLogger("shop").exception("failed")
"""


def test_fields() -> None:
    done = subprocess.run(
        [sys.executable, "-X", "utf8", "-c", _PROGRAM], capture_output=True, check=True
    )
    told, failed = map(json.loads, done.stderr.splitlines())
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", told.pop("time"))
    assert told == {
        "level": "INFO",
        "logger": "shop",
        "message": "one of 2 \u00fc",
        "route": "/v1",
        "ms": 1.5,
        "request_id": "abc",
    }
    assert failed.keys() == {"time", "level", "logger", "message", "exception"}
    assert failed["exception"].endswith("ValueError: no")
