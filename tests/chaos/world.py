"""Everything that a scenario disturbs: broker, database, central, scorer, service, and the lines between."""

import os
import shutil
import signal
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from app.embedded.ports import LOOPBACK
from tests.chaos.disk import small_disk
from tests.chaos.loop import LoopThread
from tests.chaos.proxy import FaultProxy
from tests.chaos.remote import RemoteServer, central_answer, scorer_answer
from tests.chaos.service import Service, ServiceKind, holds_in_time
from tests.chaos.watch import Watch
from tests.e2e.stack import Stack
from tests.postgres import open_directory

START_SECONDS = 60.0
GROUP = "chaos"


@dataclass(frozen=True)
class WorldPlan:
    """What a scenario needs. Without lines, the service talks to broker and database directly."""

    replicas: int = 1
    has_lines: bool = True
    has_scorer: bool = False
    disk_mib: int = 0
    service: ServiceKind = "product"
    variables: Mapping[str, str] = field(default_factory=dict)


class World:
    """A stack with fault lines in it; `logs` holds the logs of all lives of all processes but the broker."""

    def __init__(self, plan: WorldPlan, folder: Path, undo: ExitStack) -> None:
        self.plan = plan
        self.logs = folder / "logs"
        self.logs.mkdir()
        self.stack = Stack(folder)
        self._postgres_log = folder / "postgres" / "postgres.log"
        self._lives_of_postgres = 0
        loop = LoopThread("lines")
        undo.callback(loop.close)
        self.central = RemoteServer(loop, central_answer)
        undo.callback(self.central.close)
        self.scorer = RemoteServer(loop, scorer_answer)
        undo.callback(self.scorer.close)
        ports = (self.stack.broker_port, self._database_port, self.central.port, self.scorer.port)
        self.broker_line, self.database_line, self.central_line, self.scorer_line = (
            FaultProxy(loop, one) for one in ports
        )
        self.services = [
            Service(f"chaos-{ordinal}", self._variables(), self.logs, plan.service) for ordinal in range(plan.replicas)
        ]

    @property
    def lines(self) -> tuple[FaultProxy, ...]:
        """All lines."""
        return self.broker_line, self.database_line, self.central_line, self.scorer_line

    @property
    def _database_port(self) -> int:
        return int(self.stack.postgres.url.rpartition(":")[2].partition("/")[0])

    def _variables(self) -> dict[str, str]:
        database, broker = self.stack.postgres.url, self.stack.broker_port
        if self.plan.has_lines:
            database = database.replace(f":{self._database_port}/", f":{self.database_line.port}/")
            broker = self.broker_line.port
        return {
            **self.stack.variables,
            "DATABASE_URL": database,
            "MQTT_PORT": str(broker),
            "CLIENT_CONTEXT_URL": f"http://{LOOPBACK}:{self.central_line.port}",
            "COUPON_SCORER_URL": f"http://{LOOPBACK}:{self.scorer_line.port}/score" if self.plan.has_scorer else "",
            "PUBLISH_EMPTY_PREDICTION": "true",
            "MAX_PRODUCTS_IN_MESSAGE": "5",
            "MOCK_ENDPOINTS": "false",
            "MQTT_SHARED_GROUP": GROUP if self.plan.replicas > 1 else "",
            **self.plan.variables,
        }

    def start(self) -> None:
        """Start everything, and wait until all services are ready."""
        self.stack.postgres.start()
        self.stack.broker.start()
        self.stack.load()
        for service in self.services:
            service.start()
        assert self.is_ready_in_time(), f"the services did not become ready: {self.problems()}"

    def is_ready_in_time(self, seconds: float = START_SECONDS) -> bool:
        """Whether all services that should run become ready."""
        return holds_in_time(lambda: all(one.is_ready() for one in self.services if one.is_wanted), seconds)

    def problems(self) -> str:
        """What keeps which service from being ready."""
        unready = [one for one in self.services if one.is_wanted and not one.is_ready()]
        return "; ".join(f"{one.client_id}: {one.get('/readyz')[1].get('problems', one.tail())}" for one in unready)

    def is_whole(self) -> bool:
        """Whether all services run, and are ready."""
        return all(service.is_wanted for service in self.services) and self.is_ready_in_time()

    def stop(self) -> None:
        """Stop everything."""
        for line in self.lines:
            line.close()
        for service in self.services:
            service.stop()
        self.stack.stop()
        self._keep_postgres_log()

    def restart_broker(self, is_hard: bool = False) -> None:
        """SIGTERM or SIGKILL, and start again."""
        broker = self.stack.broker
        if is_hard:
            os.kill(broker.process.pid, signal.SIGKILL)
        broker.stop()
        broker.start()

    def stop_postgres(self) -> None:
        """An immediate shutdown: what was open is left to recovery."""
        self.stack.postgres.stop("immediate")
        self._keep_postgres_log()

    def start_postgres(self) -> None:
        """And on again."""
        self.stack.postgres.start()

    def heal(self) -> None:
        """Take all faults out of the lines and the servers."""
        for line in self.lines:
            line.heal()
        self.central.turn("ok")
        self.scorer.turn("ok")

    def query(self, statement: str) -> list[Any]:
        """The first column of what the database answers, asked beside the line."""
        return self.stack.query(statement)

    def watch(self) -> Watch:
        """Look at the services."""
        return Watch(self.services)

    def postgres_logs(self) -> list[Path]:
        """The logs of all lives of the database."""
        return [path for path in (*self.logs.glob("postgres.*.log"), self._postgres_log) if path.exists()]

    def _keep_postgres_log(self) -> None:
        self._lives_of_postgres += 1
        if self._postgres_log.exists():
            shutil.copy(self._postgres_log, self.logs / f"postgres.{self._lives_of_postgres}.log")


@contextmanager
def open_world(plan: WorldPlan, keep_logs: Path | None = None) -> Iterator[World]:
    """A world that is ready; its logs are kept when a place is named."""
    with ExitStack() as undo:
        folder = undo.enter_context(_folder(plan))
        world = World(plan, folder, undo)
        undo.callback(_keep, world.logs, keep_logs)
        undo.callback(world.stop)
        world.start()
        yield world


def _keep(logs: Path, target: Path | None) -> None:
    if target is not None:
        shutil.copytree(logs, Path(tempfile.mkdtemp(prefix="run-", dir=target)), dirs_exist_ok=True)


@contextmanager
def _folder(plan: WorldPlan) -> Iterator[Path]:
    with open_directory() as folder, ExitStack() as undo:
        if plan.disk_mib:
            undo.enter_context(small_disk(folder / "postgres", plan.disk_mib))
        yield folder
