"""`python -m app run`: everything the service needs on this machine, the service, and a first coupon."""

import fcntl
import secrets
import shlex
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime
from http import HTTPStatus
from pathlib import Path

import httpx

from app.embedded.broker import EmbeddedBroker
from app.embedded.dataset import Visit, fingerprint, load_once, visits
from app.embedded.device import CouponArrived, connected_device
from app.embedded.plan import BrokerAccess, RunPlan
from app.embedded.ports import LOOPBACK, free_port
from app.embedded.postgres import EmbeddedPostgres
from app.embedded.process import ChildProcess
from app.embedded.screen import Screen
from app.embedded.watch import StopRequested, Watch
from app.errors import EmbeddedFailed, ServiceError

VISIT_SECONDS = 5.0
REQUEST_SECONDS = 2.0
NO_TLS = {"MQTT_BROKER_CERT_FILE": "", "MQTT_CLIENT_CERT_FILE": "", "MQTT_CLIENT_KEY_FILE": ""}


def run(plan: RunPlan) -> int:
    """Do what the plan says and stay until Ctrl-C, SIGTERM or SIGHUP; the exit code. Every started process is stopped.

    With `is_once` it ends after the first coupon: 0, or 1 when none came.
    """
    screen = Screen()
    watch = Watch()
    with watch.signals(), ExitStack() as parts:
        try:
            return _Run(plan, parts, watch, screen).run()
        except StopRequested:
            screen.say("\nstopping", "bold")
            return 0
        except ServiceError as error:
            screen.say(f"\n{error}\nstopping", "red")
            return 1


class _Run:
    """The parts in the order in which they need each other; `parts` stops them in reverse."""

    def __init__(self, plan: RunPlan, parts: ExitStack, watch: Watch, screen: Screen) -> None:
        self._plan = plan
        self._parts = parts
        self._watch = watch
        self._screen = screen
        self._changes: dict[str, str] = {}  # of the environment, for the service

    def run(self) -> int:
        self._plan.work_dir.mkdir(parents=True, exist_ok=True)
        self._parts.enter_context(_only_run_in(self._plan.work_dir))
        self._prepare_database()
        broker = self._prepare_broker()
        central_url = self._plan.central_url or self._start_central()
        service, service_url = self._start_service(central_url)
        planned = visits(self._plan.data_dir)
        arrived = self._first_coupon(broker, planned)
        if arrived is None:
            self._screen.say(f"\n{service.failure('gave no coupon')}", "red")
        else:
            self._screen.show_coupon(arrived)
        if not self._plan.is_once:
            self._screen.show_urls(service_url, central_url)
            visit = arrived.visit if arrived else planned[0]
            self._screen.show_lines(service_url, broker, self._plan.topics, visit, self._environment_file)
            self._screen.say(f"\nLogs are in {self._plan.work_dir}. Ctrl-C stops everything; the data stays.", "bold")
            self._watch.stay()
        return 0 if arrived else 1

    @property
    def _environment_file(self) -> Path:
        return self._plan.work_dir / "environment.sh"

    def _prepare_database(self) -> None:
        plan, stamp = self._plan, self._plan.work_dir / "loaded"
        if plan.database_url is not None:
            self._screen.say(
                "  using the database that the environment names; unset DATABASE_URL and DB_HOST for another"
            )
        url = plan.database_url or self._start_postgres(stamp)
        with self._screen.step("database tables"):
            plan.migrate(url)
        self._watch.check()
        wanted = fingerprint(plan.data_dir, plan.database_url or "embedded", datetime.now(UTC).date())
        if not load_once(stamp, wanted, plan.data_dir, lambda: self._load(url)):
            self._screen.say(f"  {plan.data_dir} is loaded already ({stamp} says so)", "green")
        self._watch.check()

    def _load(self, url: str) -> None:
        with self._screen.step(f"loading {self._plan.data_dir}"):
            self._plan.load(url, self._plan.data_dir)

    def _start_postgres(self, stamp: Path) -> str:
        home = self._plan.work_dir / "postgres"
        if not home.exists():
            stamp.unlink(missing_ok=True)
        port = self._free_port("PostgreSQL", self._plan.database_port)
        server = EmbeddedPostgres(home, port, password=_password(self._plan.work_dir))
        self._stop_at_the_end("PostgreSQL", server.stop)
        with self._screen.step(f"PostgreSQL on port {port}"):
            url = server.start()
        self._changes["DATABASE_URL"] = url
        return url

    def _prepare_broker(self) -> BrokerAccess:
        if self._plan.broker is not None:
            return self._plan.broker
        port = self._free_port("the broker", self._plan.broker_port)
        broker = EmbeddedBroker(self._plan.work_dir / "broker", port)
        self._stop_at_the_end(broker.process.name, broker.stop)
        with self._screen.step(f"{broker.process.name} on port {port}"):
            broker.start()
        self._watch.add(broker.process)
        self._changes |= {"MQTT_HOST": broker.host, "MQTT_PORT": str(port), **NO_TLS}
        if broker.kind == "amqtt":
            self._changes |= {"MQTT_PROTOCOL_VERSION": "MQTTv311", "MQTT_SHARED_GROUP": ""}
        return BrokerAccess(broker.host, port)

    def _start_central(self) -> str:
        port = self._free_port("the central", self._plan.central_port)
        options = ["--port", str(port), "--data", str(self._plan.data_dir)]
        central = self._start_child("central", ["central", *options], self._plan.environment)
        url = f"http://{LOOPBACK}:{port}"
        with self._screen.step(f"stand-in central on port {port}"):
            self._wait_for(central, f"{url}/healthcheck")
        return url

    def _start_service(self, central_url: str) -> tuple[ChildProcess, str]:
        port = self._free_port("HTTP", self._plan.http_port)
        self._changes |= _service_variables(self._plan, central_url, port)
        _write_exports(self._environment_file, self._changes)
        options = ["--host", LOOPBACK, "--port", str(port)]
        service = self._start_child("service", ["serve", *options], {**self._plan.environment, **self._changes})
        url = f"http://{LOOPBACK}:{port}"
        with self._screen.step(f"service on port {port}"):
            self._wait_for(service, f"{url}/readyz?verbose")
        return service, url

    def _start_child(self, name: str, arguments: Sequence[str], environment: Mapping[str, str]) -> ChildProcess:
        child = ChildProcess(
            f"the {name}", [sys.executable, "-m", "app", *arguments], self._plan.work_dir / f"{name}.log", environment
        )
        self._stop_at_the_end(child.name, child.stop)
        child.start()
        self._watch.add(child)
        return child

    def _wait_for(self, child: ChildProcess, url: str) -> None:
        answer = _Answer(url)
        if not self._watch.wait_until(answer.is_ok, self._plan.patience_seconds):
            raise child.failure(f"is not ready after {self._plan.patience_seconds:.0f} s ({url}: {answer.text})")

    def _first_coupon(self, broker: BrokerAccess, planned: Sequence[Visit]) -> CouponArrived | None:
        with connected_device(broker, self._plan.topics, self._watch) as device:
            for visit in planned:
                self._screen.say(f"  customer {visit.customer_id} enters and stops at {visit.department}")
                arrived = device.visit(visit, VISIT_SECONDS)
                if arrived is not None:
                    return arrived
                self._screen.say(f"  no coupon for customer {visit.customer_id} in {VISIT_SECONDS:.0f} s", "yellow")
        return None

    def _free_port(self, what: str, preferred: int) -> int:
        port = free_port(preferred)
        if port != preferred:
            self._screen.say(f"  port {preferred} is taken: {what} gets {port}", "yellow")
        return port

    def _stop_at_the_end(self, name: str, stop: Callable[[], None]) -> None:
        def stop_and_say() -> None:
            stop()
            self._screen.say(f"  {name} stopped", "dim")

        self._parts.callback(stop_and_say)


class _Answer:
    """What a URL answers; the last answer is kept, to say what was wrong with it."""

    def __init__(self, url: str) -> None:
        self._url = url
        self.text = "no answer"

    def is_ok(self) -> bool:
        try:
            response = httpx.get(self._url, timeout=REQUEST_SECONDS, trust_env=False)
        except httpx.HTTPError as error:
            self.text = str(error)
            return False
        self.text = response.text.strip()
        return response.status_code == HTTPStatus.OK


def _service_variables(plan: RunPlan, central_url: str, port: int) -> dict[str, str]:
    return {
        "ENTRY_EVENT_TOPIC_NAME": plan.topics.entry,
        "FOCUS_EVENT_TOPIC_NAME": plan.topics.focus,
        "COUPON_PREDICTION_TOPIC_NAME": plan.topics.prediction,
        "CLIENT_CONTEXT_URL": central_url,
        "PORT": str(port),
        "MOCK_ENDPOINTS": plan.environment.get("MOCK_ENDPOINTS") or "true",
        "TESTING_NO_MQTT": "false",
        "TESTING_NO_POSTGRES": "false",
        "LOG_FILENAME": "",  # the console is a file already
    }


@contextmanager
def _only_run_in(work_dir: Path) -> Iterator[None]:
    with (work_dir / "lock").open("ab") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise EmbeddedFailed(f"another run uses {work_dir.absolute()}: stop that first") from error
        yield


def _password(work_dir: Path) -> str:
    path = work_dir / "postgres-password"
    if not path.exists():
        _write_secret(path, secrets.token_urlsafe(24))
    return path.read_text()


def _write_exports(path: Path, variables: Mapping[str, str]) -> None:
    _write_secret(path, "".join(f"export {name}={shlex.quote(value)}\n" for name, value in variables.items()))


def _write_secret(path: Path, text: str) -> None:
    path.touch(mode=0o600)
    path.write_text(text)
