"""What is measured, on free ports: the product's stack with a broker that keeps nothing, and the echo beside it."""

import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import httpx
from prometheus_client.parser import text_string_to_metric_families

from app.embedded.broker import EmbeddedBroker
from app.embedded.ports import LOOPBACK, answers, free_port
from app.embedded.process import ChildProcess
from benchmarks import echo
from benchmarks.load import Target, settle
from tests.e2e.stack import FOCUS, PREDICTION, Stack
from tests.postgres import open_directory

CONFIGURATION = Path(__file__).with_name("mosquitto.conf")
LOOK_AGAIN_SECONDS = 0.05
DECISIONS_AT_ONCE = 500_000
READY_SECONDS = 120.0
MULTIPLY = """
WITH made AS (
    INSERT INTO coupon_info
    SELECT coupon_id + 1000 * n, coupon_type, department, discount, how_many_products_required, start_date, end_date,
           product_mean_price, products_available
    FROM coupon_info, generate_series(1, {copies}) AS n
)
INSERT INTO coupon_product
SELECT coupon_id + 1000 * n, product_id FROM coupon_product, generate_series(1, {copies}) AS n
"""
LINK_MANY = """
INSERT INTO coupon_product
SELECT coupon_id, product_id
FROM coupon_info CROSS JOIN (SELECT product_id FROM product_info ORDER BY product_id LIMIT {products}) AS these
EXCEPT SELECT coupon_id, product_id FROM coupon_product
"""
MANY_CUSTOMERS = """
INSERT INTO customer_info
SELECT 1000000 + n, CASE n % 2 WHEN 0 THEN 'F' ELSE 'M' END, 18 + n % 60, n % 90, n % 40, n % 30, n % 200, n % 20,
       n % 300
FROM generate_series(1, {count}) AS n
"""
MANY_DECISIONS = """
INSERT INTO decision (event_day, decision_id, customer_id, event_ts, department, department_asked, reason,
                      is_to_be_published, decided_at, decided_on, context, context_source, catalogue_version,
                      scorer, model_version, threshold, deployment, seed)
SELECT current_date, gen_random_uuid(), (n % 1000000)::text, n, 'Men', 'Men', 'below_threshold', false, now(),
       current_date, '{{}}', 'cache', '0123456789abcdef', 'in_process', 'logistic', 0.1, 'default', n
FROM generate_series(1, {count}) AS n
"""
VALID = """
UPDATE coupon_info
SET start_date = '2000-01-01', end_date = CASE WHEN place <= {candidates} THEN DATE '2100-01-01' ELSE '2000-01-01' END
FROM (SELECT coupon_id AS id, row_number() OVER (PARTITION BY department ORDER BY coupon_id) AS place FROM coupon_info)
     AS placed
WHERE coupon_id = id
"""
WRITE_LOG = "SELECT count(pg_logical_emit_message(false, 'used', repeat('x', 1000000))) FROM generate_series(1, 100)"
LAST_CHECKPOINT = "SELECT checkpoint_lsn FROM pg_control_checkpoint()"
CANDIDATES = 190  # of the 200 coupons of each department
USUAL = {"MAX_PRODUCTS_IN_MESSAGE": "5", "MOCK_ENDPOINTS": "false", "LOG_LEVEL": "WARNING"}


class BareBroker(EmbeddedBroker):
    """mosquitto with the configuration for benchmarks."""

    def _write_configuration(self) -> None:
        listener = f"listener {self.port} {LOOPBACK}\n"
        self._configuration_path.write_text(listener + CONFIGURATION.read_text())


@dataclass
class BenchStack(Stack):
    """A stack to be measured."""

    echo: ChildProcess = field(init=False)

    def __post_init__(self) -> None:
        self.environment = {**USUAL, **self.environment}
        super().__post_init__()
        self.broker = BareBroker(self.folder / "broker", self.broker_port)
        command = [sys.executable, "-m", "benchmarks.echo", str(self.broker_port)]
        self.echo = ChildProcess("the echo", command, self.folder / "echo.log")
        command = [sys.executable, "-m", "benchmarks.central", str(self.central_port)]
        self.central = ChildProcess("the central", command, self.folder / "central.log")

    @property
    def service_target(self) -> Target:
        """The service, as what is to be loaded."""
        processes = {"service": self.service.pid, **self._servers}
        return Target(self.broker_port, processes, focus=FOCUS, prediction=PREDICTION)

    @property
    def echo_target(self) -> Target:
        """The echo, as what is to be loaded."""
        processes = {"echo": self.echo.pid, **self._servers}
        return Target(self.broker_port, processes, focus=echo.FOCUS, prediction=echo.PREDICTION)

    @property
    def _servers(self) -> dict[str, int]:
        assert self.postgres.pid is not None
        return {"broker": self.broker.process.pid, "database": self.postgres.pid}

    def start_service(self, **variables: str) -> float:
        """Start it, with other variables than before if any are given; the seconds until it was ready."""
        self.environment |= variables
        self.service = self.process("service", "serve", "--host", LOOPBACK)
        started = time.monotonic()
        self.service.start()
        self.wait_until_ready()
        return time.monotonic() - started

    @contextmanager
    def another_service(self) -> Iterator[None]:
        """One more instance, while the block lasts."""
        port = free_port()
        variables = {"MQTT_CLIENT_ID": "service-beside", "PORT": str(port)}
        another = self.process("another service", "serve", "--host", LOOPBACK, **variables)
        another.start()
        try:
            ready = f"http://{LOOPBACK}:{port}/readyz"
            wait_until(
                lambda: answers(port) and httpx.get(ready, trust_env=False).is_success, "another service is ready"
            )
            yield
        finally:
            another.stop()

    def use_log(self) -> None:
        """Write so much that the server has files of its write-ahead log to use again.

        A new one makes each file when it first needs it, which holds up all commits; one that has been at work for a
        while does not.
        """
        first = self.query(LAST_CHECKPOINT)
        while self.query(LAST_CHECKPOINT) == first:
            self.query(WRITE_LOG)

    def multiply_coupons(self, count: int) -> None:
        """Copies of the demo's coupons under other ids, with their links, until there are so many."""
        self.query(MULTIPLY.format(copies=count // 1000 - 1))

    def add_customers(self, count: int) -> None:
        """So many more in the cache."""
        self.query(MANY_CUSTOMERS.format(count=count))

    def add_decisions(self, count: int) -> None:
        """So many more in today's partition of the log, in parts, so that no statement takes for ever."""
        for _ in range(0, count, DECISIONS_AT_ONCE):
            self.query(MANY_DECISIONS.format(count=min(count, DECISIONS_AT_ONCE)))
        self.query("ANALYZE")

    def link_products(self, products: int) -> None:
        """Give every coupon so many products."""
        self.query(LINK_MANY.format(products=products))

    def counted(self, name: str) -> float:
        """The sum over all labels of a metric of the service."""
        text = httpx.get(f"{self.url}/metrics", trust_env=False).text
        return sum(
            sample.value
            for family in text_string_to_metric_families(text)
            for sample in family.samples
            if sample.name == name
        )

    def stop(self) -> None:
        """Stop everything."""
        self.echo.stop()
        super().stop()


@contextmanager
def open_stack(variables: Mapping[str, str] | None = None) -> Iterator[BenchStack]:
    """A stack whose service and echo answer."""
    with open_directory() as folder, ExitStack() as undo:
        stack = BenchStack(folder, dict(variables or {}))
        undo.callback(stack.stop)
        stack.postgres.start()
        stack.broker.start()
        stack.load()
        stack.query(VALID.format(candidates=CANDIDATES))
        stack.use_log()
        stack.central.start()
        stack.echo.start()
        stack.start_service()
        settle(stack.service_target)
        settle(stack.echo_target)
        yield stack


def until(condition: Callable[[], bool], seconds: float) -> float:
    """Wait for so long at most; how long it took, infinite when it did not come true."""
    started = time.monotonic()
    while not condition():
        if time.monotonic() - started > seconds:
            return float("inf")
        time.sleep(LOOK_AGAIN_SECONDS)
    return time.monotonic() - started


def wait_until(condition: Callable[[], bool], what: str) -> None:
    """Wait; raises TimeoutError, since figures would be of something else."""
    if until(condition, READY_SECONDS) == float("inf"):
        raise TimeoutError(f"it did not happen within {READY_SECONDS:.0f} s that {what}")
