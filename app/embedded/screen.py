"""What `run` tells the person in front of it."""

import json
import shlex
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from rich.console import Console

from app.embedded.dataset import Visit
from app.embedded.device import CouponArrived
from app.embedded.plan import BrokerAccess, Topics

PRODUCTS_SHOWN = 1


class Screen:
    """Progress, the first coupon, and the lines to try. Lines are never broken, so that they can be copied."""

    def __init__(self) -> None:
        self._console = Console(soft_wrap=True, highlight=False)
        self._started_at = time.perf_counter()

    def say(self, text: str, style: str = "") -> None:
        """One message."""
        self._console.print(text, markup=False, style=style)

    @contextmanager
    def step(self, what: str) -> Iterator[None]:
        """Say what is being done, and how long it took when it is done."""
        started_at = time.perf_counter()
        self.say(f"  {what} ...")
        yield
        self.say(f"  {what}: {time.perf_counter() - started_at:.1f} s", "green")

    def show_coupon(self, arrived: CouponArrived) -> None:
        """The prediction result, most of its products left out."""
        since_start = time.perf_counter() - self._started_at
        visit = arrived.visit
        self.say(
            f"\nCustomer {visit.customer_id} came in and stopped at {visit.department}; "
            f"the coupon came back after {arrived.seconds * 1000:.0f} ms ({since_start:.1f} s from the start):",
            "bold",
        )
        coupon = dict(arrived.result["coupon"])
        products = coupon.get("products", [])
        if len(products) > PRODUCTS_SHOWN:
            coupon["products"] = [*products[:PRODUCTS_SHOWN], f"... and {len(products) - PRODUCTS_SHOWN} more"]
        self.say(json.dumps({**arrived.result, "coupon": coupon}, indent=2, ensure_ascii=False))

    def show_urls(self, service_url: str, central_url: str) -> None:
        """Where to look with a browser."""
        self.say("\nLook", "bold")
        for path, what in (
            ("/docs", "the HTTP interface"),
            ("/readyz?verbose", "the state of each part"),
            ("/metrics", "Prometheus metrics"),
            ("/asyncapi", "the MQTT interface"),
        ):
            self.say(f"  {service_url + path:<42} {what}")
        self.say(f"  {central_url + '/get_context/1':<42} the central")

    def show_lines(
        self, service_url: str, access: BrokerAccess, topics: Topics, visit: Visit, environment_file: Path
    ) -> None:
        """What to type in another terminal."""
        broker = " ".join(_broker_options(access))
        entry_topic, focus_topic, prediction_topic = (
            shlex.quote(topic) for topic in (topics.entry, topics.focus, topics.prediction)
        )
        entry = f'{{"id": {json.dumps(visit.customer_id)}, "ts": $(date +%s)}}'
        focus = entry.removesuffix("}") + f', "dep": {json.dumps(visit.department)}}}'
        self.say("\nTry, in another terminal", "bold")
        for line in (
            f"mosquitto_sub {broker} -q 1 -t {prediction_topic}",
            f"mosquitto_pub {broker} -q 1 -t {entry_topic} -m {_double_quoted(entry)}",
            f"mosquitto_pub {broker} -q 1 -t {focus_topic} -m {_double_quoted(focus)}",
            f'curl -s {service_url}/mock_focus -H "Content-Type: application/json" -d {_double_quoted(focus)}',
            f". {shlex.quote(str(environment_file))}   # the settings of this service, for commands by hand",
        ):
            self.say(f"  {line}")


def _broker_options(access: BrokerAccess) -> Iterator[str]:
    yield f"-h {access.host} -p {access.port}"
    if access.username:
        yield f"-u {shlex.quote(access.username)} -P '...'"
    for option, path in (("--cafile", access.ca_file), ("--cert", access.certificate_file), ("--key", access.key_file)):
        if path is not None:
            yield f"{option} {shlex.quote(str(path))}"


def _double_quoted(text: str) -> str:
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'
