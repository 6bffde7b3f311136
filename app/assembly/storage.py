"""What is kept: in PostgreSQL, or in memory where there is no database."""

import asyncio
from contextlib import AsyncExitStack
from dataclasses import dataclass
from datetime import datetime, timedelta
from zoneinfo import ZoneInfo

import structlog

from app.adapters.csv_files import catalogue_coupons, customer_contexts, orphans, read_folder, with_shifted_dates
from app.adapters.memory import (
    MemoryApiKeys,
    MemoryCache,
    MemoryCatalogue,
    MemoryDeadLetterLog,
    MemoryDecisionLog,
    MemoryDriftReports,
    MemoryModelRegistry,
)
from app.adapters.postgres.cache import PostgresCache
from app.adapters.postgres.catalogue import PostgresCatalogue
from app.adapters.postgres.database import Database
from app.adapters.postgres.dead_letters import PostgresDeadLetterLog
from app.adapters.postgres.decisions import PostgresDecisionLog
from app.adapters.postgres.drift import PostgresDriftReports
from app.adapters.postgres.keys import PostgresApiKeys
from app.adapters.postgres.models import PostgresModelRegistry
from app.adapters.postgres.upkeep import Upkeep
from app.assembly.background import Background
from app.domain.department import DepartmentNames
from app.ports import ApiKeys, CatalogueHolder, ContextCache, DeadLetterLog, DecisionLog, DriftReports, ModelRegistry
from app.settings import Settings
from app.transport.health import Health

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Storage:
    """What keeps things for the service; `database` is None where all of it is in memory."""

    cache: ContextCache
    log: DecisionLog
    dead_letters: DeadLetterLog
    catalogue: CatalogueHolder
    api_keys: ApiKeys
    models: ModelRegistry
    drift: DriftReports
    database: Database | None = None


async def build_storage(
    stack: AsyncExitStack, settings: Settings, names: DepartmentNames, health: Health, background: Background
) -> Storage:
    """Open what the settings ask for, and start what keeps it fresh."""
    if settings.testing_no_postgres:
        return await asyncio.to_thread(_memory_storage, settings, names)
    database = await stack.enter_async_context(Database.open(settings.postgres_url, settings.db_pool_size))
    reports = [health.expect(part, "not asked yet") for part in ("database", "migrations", "catalogue")]
    catalogue = PostgresCatalogue(database, names, *reports)
    background.run("catalogue", catalogue.run())
    retention = timedelta(days=settings.retention_days) if settings.retention_days else None
    background.run("upkeep", Upkeep(database, retention).run())
    return Storage(
        PostgresCache(database, settings.unknown_customer),
        PostgresDecisionLog(database),
        PostgresDeadLetterLog(database),
        catalogue,
        PostgresApiKeys(database),
        PostgresModelRegistry(database),
        PostgresDriftReports(database),
        database,
    )


def _memory_storage(settings: Settings, names: DepartmentNames) -> Storage:
    today = datetime.now(ZoneInfo(settings.store_timezone)).date()
    dataset, years = with_shifted_dates(read_folder(settings.data_dir), today)
    if years:
        log.warning("coupons have all expired: moved for testing without a database", years=years)
    refused = (*dataset.bad_rows, *orphans(dataset))
    if refused:
        log.warning("rows refused: `python -m app load DIR --dry-run` names them", rows=len(refused))
    return Storage(
        MemoryCache(customer_contexts(dataset, settings.unknown_customer)),
        MemoryDecisionLog(),
        MemoryDeadLetterLog(),
        MemoryCatalogue(catalogue_coupons(dataset, names)),
        MemoryApiKeys(),
        MemoryModelRegistry(),
        MemoryDriftReports(),
    )
