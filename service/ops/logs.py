"""Logs as JSON lines on stderr, each with the request's id."""

import logging
import time
from contextvars import ContextVar
from typing import Any

from pythonjsonlogger.core import RESERVED_ATTRS
from pythonjsonlogger.json import JsonFormatter

from model.tracing.spans import current

request_id: ContextVar[str | None] = ContextVar("request_id", default=None)
"""The request that this task serves; None outside of requests."""


class LineFormatter(JsonFormatter):
    """One object per record: time (UTC), level, logger, message, extras, request id, exception."""

    converter = staticmethod(time.gmtime)
    default_time_format = "%Y-%m-%dT%H:%M:%S"
    default_msec_format = "%s.%03dZ"

    def __init__(self) -> None:
        super().__init__(
            ["asctime", "levelname", "name", "message"],
            rename_fields={
                "asctime": "time",
                "levelname": "level",
                "name": "logger",
                "exc_info": "exception",
            },
            reserved_attrs=[*RESERVED_ATTRS, "taskName", "color_message"],
            json_ensure_ascii=False,
            json_default=str,
        )

    def process_log_record(self, log_data: dict[str, Any]) -> dict[str, Any]:
        """Add the request's id, and those of its trace and of what is done for it."""
        if (asked := request_id.get()) is not None:
            log_data["request_id"] = asked
        if spans := current.get():
            log_data |= {"trace_id": spans[0].trace_id, "span_id": spans[0].span_id}
        return log_data


def configure_logging(level: str) -> None:
    """Send every logger's records to stderr as JSON lines, uvicorn's among them."""
    handler = logging.StreamHandler()
    handler.setFormatter(LineFormatter())
    logging.basicConfig(level=level, handlers=[handler], force=True)
    # Without a handler uvicorn makes no line for each request; our middleware logs it.
    for name in ("uvicorn", "uvicorn.error", "uvicorn.access"):
        logger = logging.getLogger(name)
        logger.handlers.clear()
        logger.propagate = name != "uvicorn.access"
