"""The files that put the service behind locks: the trial's secrets, and what compose opens to the outside."""

import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import trustme
import yaml

from app.adapters.mqtt_connection import BrokerAccess
from app.ports import OutboundMessage
from app.tls import client_context
from tests.contract.broker import done, linked, received
from tests.security.shop import ACCESS_RULES, LISTENERS, ROLES, ShopBroker

PROJECT = Path(__file__).parents[2]
OPEN, SECURE = PROJECT / "docker-compose.yml", PROJECT / "docker-compose.secure.yml"


def services(path: Path) -> dict[str, dict[str, Any]]:
    found: dict[str, dict[str, Any]] = yaml.safe_load(path.read_text())["services"]
    return found


class TrialBroker(ShopBroker):
    """A broker with the secrets of scripts/trial-secrets."""

    def __init__(self, data_dir: Path, secrets: Path) -> None:
        super().__init__(data_dir, trustme.CA())
        self._secrets = secrets

    def _write_configuration(self) -> None:
        super()._write_configuration()
        shutil.copytree(self._secrets / "broker", self.data_dir / "secrets", dirs_exist_ok=True)


@pytest.fixture(scope="module")
def secrets(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("trial") / "secrets"
    subprocess.run([PROJECT / "scripts" / "trial-secrets", folder], check=True, timeout=60)
    return folder


@pytest.fixture(scope="module")
def broker(tmp_path_factory: pytest.TempPathFactory, secrets: Path) -> Iterator[TrialBroker]:
    broker = TrialBroker(tmp_path_factory.mktemp("broker"), secrets)
    broker.start()
    yield broker
    broker.stop()


def access(secrets: Path, port: int, role: str, certificate: str | None = None) -> BrokerAccess:
    files = [secrets / f"{certificate}.{ending}" for ending in ("crt", "key")] if certificate else []
    return BrokerAccess(
        [("localhost", port)],
        role,
        username=role,
        password=(secrets / f"{role}.password").read_text(),
        tls=client_context(secrets / "ca.crt", *files),
    )


async def test_the_secrets_of_the_trial_bring_an_event_from_a_camera_to_the_service(
    broker: TrialBroker, secrets: Path
) -> None:
    async with (
        linked(access(secrets, broker.service_port, "service", certificate="service"), "customer/focus") as service,
        linked(access(secrets, broker.port, "sensors")) as camera,
    ):
        await done(camera.publish(OutboundMessage("customer/focus", b"focus", {})))
        (event,) = await received(service, 1)

    assert event.payload == b"focus"


def test_the_folder_of_the_secrets_is_closed_and_its_passwords_are_not_in_the_brokers_file(secrets: Path) -> None:
    hashed = (secrets / "broker" / "passwords").read_text()

    assert secrets.stat().st_mode & 0o777 == 0o700
    assert (secrets / "ca.key").stat().st_mode & 0o777 == 0o600
    assert [line.partition(":")[0] for line in hashed.splitlines()] == list(ROLES)
    assert [role for role in ROLES if (secrets / f"{role}.password").read_text() in hashed] == []


def test_secrets_that_are_there_are_not_replaced(secrets: Path) -> None:
    before = (secrets / "ca.crt").read_bytes()

    again = subprocess.run([PROJECT / "scripts" / "trial-secrets", secrets], timeout=60, capture_output=True)

    assert (again.returncode, (secrets / "ca.crt").read_bytes()) == (1, before)


def test_every_published_port_is_bound_to_this_machine_unless_told_otherwise() -> None:
    ports = [
        port for path in (OPEN, SECURE) for service in services(path).values() for port in service.get("ports", ())
    ]

    assert len(ports) == 4
    assert [port for port in ports if not port.startswith("${HOST_ADDRESS:-127.0.0.1}:")] == []


def test_the_files_of_the_broker_are_mounted_where_its_configuration_looks_for_them() -> None:
    mounted = dict(
        volume.split(":")[:2][::-1]
        for path in (OPEN, SECURE)
        for volume in services(path)["mosquitto"]["volumes"]
        if volume.startswith("./")
    )
    wanted = re.findall(
        r"^(?:password_file|acl_file|certfile|keyfile|cafile) (\S+)", LISTENERS.read_text(), re.MULTILINE
    )

    assert mounted["/mosquitto/config/listeners/listeners.conf"].endswith(LISTENERS.name)
    assert mounted["/mosquitto/config/acl.conf"].endswith(ACCESS_RULES.name)
    assert all(path in mounted or str(Path(path).parent) in mounted for path in wanted)


def test_behind_locks_every_password_comes_from_a_file_and_events_come_from_the_broker_alone() -> None:
    locked = services(SECURE)
    environments = [one.get("environment", {}) for one in locked.values()]
    passwords = {value for one in environments for name, value in one.items() if name.endswith("PASSWORD")}
    service = locked["service"]["environment"]

    assert passwords == {""}
    assert service["MOCK_ENDPOINTS"] == "false"
    assert {"MQTT_PASSWORD_FILE", "DB_PASSWORD_FILE", "MQTT_BROKER_CERT_FILE", "MQTT_CLIENT_KEY_FILE"} <= service.keys()
