import io
import json
import logging
import subprocess
import sys
from collections.abc import Iterator

import pytest
import structlog

from broker.cli.logs import configure_logs
from broker.settings import LogFormat


@pytest.fixture(autouse=True)
def _other_tests_keep_their_logs() -> Iterator[None]:
    root = logging.getLogger()
    # A server that another test ran in this process keeps its lines to itself.
    server = [logging.getLogger(name) for name in ("uvicorn", "uvicorn.error")]
    kept = [(logger, logger.propagate, logger.handlers) for logger in server]
    handlers, level = root.handlers, root.level
    for logger in server:
        logger.propagate, logger.handlers, logger.disabled = True, [], False
    yield
    for logger, propagate, its_handlers in kept:
        logger.propagate, logger.handlers = propagate, its_handlers
    root.handlers, root.level = handlers, level
    structlog.reset_defaults()


def lines(log_format: LogFormat | None) -> list[str]:
    stream = io.StringIO()
    configure_logs(log_format, stream=stream)
    structlog.get_logger("test").info("request", path="/", status=200)
    logging.getLogger("uvicorn.error").warning("port %d is taken", 80)
    logging.getLogger("uvicorn.error").info("not said")
    return stream.getvalue().splitlines()


def test_our_lines_and_libraries_lines_are_json_alike() -> None:
    ours, theirs = map(json.loads, lines(LogFormat.JSON))
    assert ours["event"] == "request"
    assert ours["status"] == 200
    assert theirs["event"] == "port 80 is taken"
    assert theirs["logger"] == "uvicorn.error"
    for line in (ours, theirs):
        assert line["level"] in {"info", "warning"}
        assert line["timestamp"].endswith("Z")


def test_without_a_terminal_the_form_is_json() -> None:
    assert all(json.loads(line) for line in lines(None))


def test_a_person_reads_plain_lines() -> None:
    ours, theirs = lines(LogFormat.CONSOLE)
    assert "request" in ours
    assert "status=200" in ours
    assert "port 80 is taken" in theirs


@pytest.mark.parametrize("log_format", list(LogFormat))
def test_a_traceback_shows_no_local_variable(log_format: LogFormat) -> None:
    stream = io.StringIO()
    configure_logs(log_format, stream=stream)

    def fail(secret: str) -> None:
        raise RuntimeError(len(secret))

    try:
        fail("hunter2" * 2)
    except RuntimeError:
        structlog.get_logger("test").exception("unexpected")
        logging.getLogger("library").exception("unexpected")
    assert stream.getvalue().count("RuntimeError: 14") == 2
    assert stream.getvalue().count("error") == 2
    assert "hunter2hunter2" not in stream.getvalue()


def test_a_line_break_in_a_value_makes_no_second_json_line() -> None:
    stream = io.StringIO()
    configure_logs(LogFormat.JSON, stream=stream)
    structlog.get_logger("test").warning("odd", path="/\n{}\u2028x")
    assert len(stream.getvalue().splitlines()) == 1


def test_a_commands_answer_stands_alone_on_stdout() -> None:
    code = (
        "from broker.cli.logs import configure_logs; import structlog;"
        "configure_logs(); structlog.get_logger().error('said'); print('{}')"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    assert done.stdout == "{}\n"
    assert json.loads(done.stderr)["event"] == "said"
