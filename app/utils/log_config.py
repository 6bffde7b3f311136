"""Logging set-up, called by the lifespan. No line names a customer: a keyed hash stands for the id."""

import logging
import re
import secrets
import sys
from collections.abc import Sequence
from hashlib import blake2b
from logging.handlers import WatchedFileHandler
from urllib.parse import quote

import structlog
from structlog.typing import EventDict, Processor, WrappedLogger

# Frames of a traceback hold code and line numbers, no values: a customer 7 is not hidden in line 7.
FRAME = re.compile(r"^(?P<margin>[ |]*)  File \".*\", line \d+, in .*\n(?:(?P=margin)    .*\n)*", re.MULTILINE)
TEXTS = ("exception", "problem")

PROCESSORS: Sequence[Processor] = (
    structlog.contextvars.merge_contextvars,
    structlog.stdlib.add_log_level,
    structlog.stdlib.add_logger_name,
    structlog.processors.TimeStamper(fmt="iso", utc=True),
    structlog.processors.format_exc_info,
)


def customer_hash(key: str, customer_id: str) -> str:
    """What stands for a customer in logs: 16 hexadecimal characters, the same for the same key."""
    used_key = blake2b(key.encode(errors="surrogateescape")).digest()  # the bytes that the environment has
    return blake2b(customer_id.encode(errors="backslashreplace"), key=used_key, digest_size=8).hexdigest()


def configure_logging(level: str, file_name: str, hash_key: str | None = None) -> None:
    """One JSON line an event, on the console (stderr) and, unless `file_name` is empty, in a file.

    JSON escapes what comes from outside: no line can be forged. A file that cannot be written is a warning. Where a
    line is given a `customer_id`, it gets the hash of it instead; without a `hash_key`, by a key for this start.
    """
    processors = [*PROCESSORS, _customers_hashed(hash_key or secrets.token_hex(32))]
    structlog.configure(
        processors=[*processors, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=False,
    )
    formatter = structlog.stdlib.ProcessorFormatter(
        processors=[
            structlog.stdlib.ProcessorFormatter.remove_processors_meta,
            structlog.processors.JSONRenderer(ensure_ascii=True),
        ],
        foreign_pre_chain=processors,
    )
    handlers: list[logging.Handler] = [logging.StreamHandler(sys.stderr)]
    problem: OSError | None = None
    if file_name:
        try:
            handlers.append(WatchedFileHandler(file_name, encoding="utf-8"))
        except OSError as error:
            problem = error
    for handler in handlers:
        handler.setFormatter(formatter)
    logging.basicConfig(level=level, handlers=handlers, force=True)
    for name in ("uvicorn", "uvicorn.error"):
        logger = logging.getLogger(name)
        if logger.handlers:  # else uvicorn has silenced it, or has left it to us
            logger.handlers.clear()
            logger.propagate = True
    access = logging.getLogger("uvicorn.access")  # it quotes paths, in which customers are named
    access.handlers.clear()
    access.propagate = False
    for chatty in ("httpx", "httpcore", "stamina"):
        logging.getLogger(chatty).setLevel(max(logging.WARNING, logging.getLevelName(level)))
    if problem is not None:
        structlog.get_logger(__name__).warning("no log file", file=file_name, problem=str(problem))


def _customers_hashed(key: str) -> Processor:
    def hashed(logger: WrappedLogger, method: str, line: EventDict) -> EventDict:
        customer_id = str(line.pop("customer_id", None) or "")
        if customer_id:
            line["customer"] = customer_hash(key, customer_id)
            for name in (name for name in TEXTS if name in line):
                line[name] = _without(customer_id, str(line[name]), line["customer"])
        return line

    return hashed


def _without(customer_id: str, text: str, stand_in: str) -> str:
    """The text with another word for the id, however an error may have written it."""
    quoted = {quote(customer_id, safe, errors="backslashreplace") for safe in ("", "/")}
    spellings = {customer_id, repr(customer_id)[1:-1], *quoted}
    longest_first = sorted(spellings, key=len, reverse=True)
    named = re.compile(rf"(?<!\w)(?:{'|'.join(map(re.escape, longest_first))})(?!\w)")
    parts, end = list[str](), 0
    for frame in FRAME.finditer(text):
        parts += [named.sub(stand_in, text[end : frame.start()]), frame[0]]
        end = frame.end()
    return "".join([*parts, named.sub(stand_in, text[end:])])
