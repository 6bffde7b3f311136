"""Logging set-up, called by the lifespan."""

import logging
import sys
from collections.abc import Sequence
from logging.handlers import WatchedFileHandler

import structlog
from structlog.typing import Processor

PROCESSORS: Sequence[Processor] = (
    structlog.contextvars.merge_contextvars,
    structlog.stdlib.add_log_level,
    structlog.stdlib.add_logger_name,
    structlog.processors.TimeStamper(fmt="iso", utc=True),
    structlog.processors.format_exc_info,
)


def configure_logging(level: str, file_name: str) -> None:
    """One JSON line an event, on the console (stderr) and, unless `file_name` is empty, in a file.

    JSON escapes what comes from outside: no line can be forged. A file that cannot be written is a warning.
    """
    structlog.configure(
        processors=[*PROCESSORS, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=False,
    )
    formatter = structlog.stdlib.ProcessorFormatter(
        processors=[
            structlog.stdlib.ProcessorFormatter.remove_processors_meta,
            structlog.processors.JSONRenderer(ensure_ascii=True),
        ],
        foreign_pre_chain=[*PROCESSORS],
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
    for name in ("uvicorn", "uvicorn.error", "uvicorn.access"):
        logger = logging.getLogger(name)
        if logger.handlers:  # else uvicorn has silenced it, or has left it to us
            logger.handlers.clear()
            logger.propagate = True
    for chatty in ("httpx", "httpcore", "stamina"):
        logging.getLogger(chatty).setLevel(max(logging.WARNING, logging.getLevelName(level)))
    if problem is not None:
        structlog.get_logger(__name__).warning("no log file", file=file_name, problem=str(problem))
