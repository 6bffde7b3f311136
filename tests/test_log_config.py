"""The log: one JSON line an event, wherever it comes from."""

import json
import logging
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import structlog

from app.utils.log_config import configure_logging, customer_hash
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
    logging.getLogger("uvicorn.error").info('"GET %s"', FORGED)

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


KEY = "a key that is for tests alone"


def told_of(customer_id: str, problem: str, capsys: pytest.CaptureFixture[str]) -> str:
    """The problem, as the line of a customer tells of it."""
    configure_logging("INFO", "", KEY)
    structlog.get_logger("app.shop").warning("put off", customer_id=customer_id, problem=problem)
    (line,) = lines(capsys.readouterr().err)
    assert line["customer"] == customer_hash(KEY, customer_id)
    assert "customer_id" not in line
    return str(line["problem"]).replace(line["customer"], "<hash>")


def test_the_hash_of_a_customer_is_the_same_for_the_same_key_alone() -> None:
    hashes = {customer_hash(key, customer_id) for key in (KEY, "not UTF-8: \udcff") for customer_id in ("7", "8")}

    assert len(hashes) == 4
    assert customer_hash(KEY, "7") in hashes
    assert [text for text in hashes if len(text) != 16 or not set(text) <= set("0123456789abcdef")] == []


def test_without_a_key_each_start_has_hashes_of_its_own(capsys: pytest.CaptureFixture[str]) -> None:
    for _ in range(2):
        configure_logging("INFO", "")
        structlog.get_logger("app.shop").info("event refused", customer_id="7")

    assert len({line["customer"] for line in lines(capsys.readouterr().err)}) == 2


@pytest.mark.parametrize("customer_id", [None, ""])
def test_a_line_about_nobody_has_no_hash(capsys: pytest.CaptureFixture[str], customer_id: str | None) -> None:
    configure_logging("INFO", "", KEY)

    structlog.get_logger("app.shop").info("event refused", customer_id=customer_id)

    (line,) = lines(capsys.readouterr().err)
    assert line.keys() == {"event", "level", "logger", "timestamp"}


@pytest.mark.parametrize(
    ("customer_id", "problem", "told"),
    [
        ("7", "no row of 7, nor of 77 or a7", "no row of <hash>, nor of 77 or a7"),
        ("-7", "customer=-7", "customer=<hash>"),
        (
            "a/b c",
            "GET /get_context/a%2Fb%20c and /get_context/a/b%20c",
            "GET /get_context/<hash> and /get_context/<hash>",
        ),
        ("O'Neill \\", "KeyError: \"O'Neill \\\\\"; O'Neill \\", 'KeyError: "<hash>"; <hash>'),
        ("(.*", "customer (.* is not .*", "customer <hash> is not .*"),
        ("Zoë", "Zoë, Zo%C3%AB", "<hash>, <hash>"),
        ("\ud800", "customer \ud800", "customer <hash>"),
    ],
)
def test_an_id_is_replaced_in_the_problem_however_it_is_written(
    capsys: pytest.CaptureFixture[str], customer_id: str, problem: str, told: str
) -> None:
    assert told_of(customer_id, problem, capsys) == told


def test_an_id_that_looks_like_a_number_of_a_line_is_replaced_in_the_errors_and_not_in_the_frames(
    capsys: pytest.CaptureFixture[str],
) -> None:
    configure_logging("INFO", "", KEY)
    log = structlog.get_logger("app.shop")
    number = fail.__code__.co_firstlineno + 2
    try:
        fail(str(number))
    except ExceptionGroup:
        log.exception("event failed", customer_id=str(number))

    (line,) = lines(capsys.readouterr().err)
    stand_in = customer_hash(KEY, str(number))
    assert f", line {number}, in fail\n" in line["exception"]
    assert f"ValueError: no score for {stand_in}\n" in line["exception"]
    assert f"DETAIL: ({stand_in})" in line["exception"]
    assert f"no score for {number}" not in line["exception"]
    assert f"({number})" not in line["exception"]


def fail(customer_id: str) -> None:
    errors = [ValueError(f"no score for {customer_id}\nDETAIL: ({customer_id})"), one_of_a_group(customer_id)]
    raise ExceptionGroup(f"all of {customer_id}", errors)


def one_of_a_group(customer_id: str) -> Exception:
    try:
        raise ExceptionGroup(f"group of {customer_id}", [caught(customer_id)])
    except ExceptionGroup as error:
        return error


def caught(customer_id: str) -> Exception:
    try:
        raise KeyError(customer_id)
    except KeyError as error:
        return error


def test_lines_of_the_server_have_the_customer_of_their_task(capsys: pytest.CaptureFixture[str]) -> None:
    configure_logging("INFO", "", KEY)

    with structlog.contextvars.bound_contextvars(customer_id="7"):
        try:
            raise ValueError("no score for 7")
        except ValueError:
            logging.getLogger("uvicorn.error").exception("Exception in ASGI application")

    (line,) = lines(capsys.readouterr().err)
    assert line["customer"] == customer_hash(KEY, "7")
    assert line["exception"].endswith(f"ValueError: no score for {line['customer']}")
