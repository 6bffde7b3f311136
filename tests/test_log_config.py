"""The log: one JSON line an event, wherever it comes from."""

import json
import logging
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import structlog

from app.utils.log_config import configure_logging
from tests.transport.application import logging_untouched

FORGED = 'x\r\n{"event": "forged", "level": "critical"}\u2028\u0085\x1b[2J'


@pytest.fixture(autouse=True)
async def untouched() -> AsyncIterator[None]:
    async with logging_untouched():
        yield


def lines(text: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in text.splitlines()]


def test_an_event_is_one_line_of_json_on_the_console_and_in_the_file(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "messages.log"
    configure_logging("INFO", str(file))

    structlog.get_logger("app.shop").info("coupon given", coupon_id="22")

    captured = capsys.readouterr()
    (line,) = lines(captured.err)
    assert (captured.out, file.read_text()) == ("", captured.err)
    assert line.pop("timestamp").endswith("Z")
    assert line == {"event": "coupon given", "coupon_id": "22", "level": "info", "logger": "app.shop"}


def test_other_libraries_log_in_the_same_way(capsys: pytest.CaptureFixture[str]) -> None:
    configure_logging("INFO", "")

    logging.getLogger("uvicorn.error").info("Uvicorn running on %s", "http://127.0.0.1")

    (line,) = lines(capsys.readouterr().err)
    assert (line["event"], line["level"], line["logger"]) == (
        "Uvicorn running on http://127.0.0.1",
        "info",
        "uvicorn.error",
    )


def test_without_a_file_name_there_is_no_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    configure_logging("INFO", "")

    structlog.get_logger("app.shop").info("coupon given")

    assert list(tmp_path.iterdir()) == []


def test_a_file_that_cannot_be_written_is_a_warning(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    configure_logging("INFO", str(tmp_path / "no such folder" / "messages.log"))
    structlog.get_logger("app.shop").info("coupon given")

    warning, event = lines(capsys.readouterr().err)
    assert (warning["level"], warning["event"]) == ("warning", "no log file")
    assert "no such folder" in warning["problem"]
    assert event["event"] == "coupon given"


def test_what_is_below_the_level_is_left_out(capsys: pytest.CaptureFixture[str]) -> None:
    configure_logging("WARNING", "")

    structlog.get_logger("app.shop").info("coupon given")
    structlog.get_logger("app.shop").warning("no coupon left")

    assert [line["event"] for line in lines(capsys.readouterr().err)] == ["no coupon left"]


@pytest.mark.parametrize("level", ["DEBUG", "INFO"])
def test_libraries_that_tell_of_every_call_are_kept_to_warnings(capsys: pytest.CaptureFixture[str], level: str) -> None:
    configure_logging(level, "")

    for name in ("httpx", "httpcore", "stamina"):
        logging.getLogger(name).info("called")
        logging.getLogger(name).warning("failed")

    assert [line["event"] for line in lines(capsys.readouterr().err)] == ["failed"] * 3


def test_no_text_from_outside_can_forge_a_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "messages.log"
    configure_logging("DEBUG", str(file))

    structlog.get_logger("app.shop").info("event refused", reason=FORGED, **{"a\nkey": 1})
    structlog.get_logger("app.shop").info(FORGED)
    logging.getLogger("uvicorn.access").info('"GET %s"', FORGED)

    told = lines(capsys.readouterr().err)
    assert [line["event"] for line in told] == ["event refused", FORGED, f'"GET {FORGED}"']
    assert told[0]["reason"] == FORGED
    assert all(line.isascii() for line in file.read_bytes().splitlines())


def test_a_traceback_stays_in_the_line_of_its_event(capsys: pytest.CaptureFixture[str]) -> None:
    configure_logging("INFO", "")

    try:
        raise ZeroDivisionError(FORGED)
    except ZeroDivisionError:
        structlog.get_logger("app.shop").exception("event failed")

    (line,) = lines(capsys.readouterr().err)
    assert (line["event"], line["level"]) == ("event failed", "error")
    assert "Traceback" in line["exception"]
    assert "ZeroDivisionError" in line["exception"]


def test_a_log_file_that_was_moved_away_is_made_again(tmp_path: Path) -> None:
    file = tmp_path / "messages.log"
    configure_logging("INFO", str(file))
    log = structlog.get_logger("app.shop")

    log.info("before")
    file.rename(tmp_path / "messages.log.1")
    log.info("after")

    assert [line["event"] for line in lines(file.read_text())] == ["after"]
