"""Logging: structlog's and the standard library's records in one format, on stderr.

A line is a JSON object, or text for a terminal. Tracebacks omit local variables, which
may hold secrets.
"""

import asyncio
import json
import logging
import sys
from datetime import UTC, datetime
from io import StringIO
from typing import Any, TextIO, cast

import structlog
from structlog.typing import (
    BindableLogger,
    EventDict,
    ExcInfo,
    Processor,
    WrappedLogger,
)

from broker.cli.terminal import plain
from broker.settings import LogFormat
from broker.stores.json_text import encode_json

_UNTIL_ZONE = len("2026-01-31T23:59:59.000000")


_LEVELS = {"exception": "error", "warn": "warning"}


def _stamp(_logger: object, method: str, event: EventDict) -> EventDict:
    event["level"] = _LEVELS.get(method, method)
    now = datetime.now(UTC).isoformat(timespec="microseconds")
    event["timestamp"] = f"{now[:_UNTIL_ZONE]}Z"
    return event


def _logger_class(level: int) -> type[BindableLogger]:
    """structlog's, with two calls fewer: every request writes a line."""

    class Logger(structlog.make_filtering_bound_logger(level)):  # type: ignore[misc] # made
        def _proxy_to_logger(
            self, method: str, event: str, /, **values: object
        ) -> None:
            line: Any = {**self._context, **values, "event": event}
            try:  # `suppress` takes three frames
                for process in self._processors:
                    line = process(self._logger, method, line)
                self._logger.write(line)
            except structlog.DropEvent:
                pass

    return cast("type[BindableLogger]", Logger)


class _BufferedStream:
    """A stream that buffers all lines of one event loop iteration into one write.

    Under load an iteration serves several requests, and each write is a system call.
    """

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._lines: list[str] = []

    def write(self, line: str) -> None:
        """Write at the end of this iteration, or at once without an event loop."""
        self._lines.append(f"{line}\n")
        if len(self._lines) > 1:
            return  # already scheduled by the first line
        try:
            loop = asyncio.get_running_loop()
        except RuntimeError:
            self._write_out()
        else:
            loop.call_soon(self._write_out)

    def _write_out(self) -> None:
        text = "".join(self._lines)
        self._lines.clear()
        self._stream.write(text)
        self._stream.flush()


def configure_logs(
    log_format: LogFormat | None = None,
    *,
    level: int = logging.INFO,
    stream: TextIO | None = None,
) -> None:
    """Configure logging for this process.

    Without ``log_format`` it is text on a terminal and JSON elsewhere.
    """
    stream = stream or sys.stderr
    if log_format is None:
        log_format = LogFormat.CONSOLE if stream.isatty() else LogFormat.JSON
    last = _last_processors(log_format, colors=stream.isatty())
    buffered = _BufferedStream(stream)
    structlog.configure(
        processors=[_stamp, *last],
        wrapper_class=_logger_class(level),
        logger_factory=lambda *_: buffered,
        cache_logger_on_first_use=True,
    )
    handler = logging.StreamHandler(stream)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=[_stamp, structlog.stdlib.add_logger_name],
            processors=[
                structlog.stdlib.ProcessorFormatter.remove_processors_meta,
                *last,
            ],
        )
    )
    root = logging.getLogger()
    root.handlers = [handler]
    root.setLevel(max(level, logging.WARNING))


def _last_processors(log_format: LogFormat, *, colors: bool) -> list[Processor]:
    if log_format is LogFormat.JSON:
        return [_render_json]
    return [
        _escape_values,
        structlog.dev.ConsoleRenderer(colors=colors, exception_formatter=_traceback),
    ]


def _escape_values(_logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
    """Escape control characters, which a client could have sent."""
    for name, value in event.items():
        if isinstance(value, str):
            event[name] = plain(value)
    return event


def _traceback(stream: TextIO, exc_info: ExcInfo) -> None:
    text = StringIO()
    structlog.dev.plain_traceback(text, exc_info)
    stream.write("\n".join(map(plain, text.getvalue().split("\n"))))


def _render_json(logger: WrappedLogger, method: str, event: EventDict) -> str:
    if "exc_info" in event:
        event = structlog.processors.format_exc_info(logger, method, event)
    line = encode_json(event, str)
    # Some log readers also break lines at U+2028 and the like, so escape those.
    return line if line.isascii() else json.dumps(event, default=str)
