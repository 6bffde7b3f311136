"""A shop's broker: mosquitto with the shipped files, certificates and users of the test, and clients of it."""

import hashlib
import os
import signal
import ssl
from base64 import b64encode
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from queue import Empty, Queue

import paho.mqtt.client as paho
import trustme
from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion
from paho.mqtt.reasoncodes import ReasonCode

from app.embedded.broker import SHIPPED_CONFIGURATION, EmbeddedBroker
from app.embedded.ports import LOOPBACK, free_port
from app.tls import client_context
from tests.plain_client import PlainClient

PATIENCE_SECONDS = 20.0
ROLES = ("service", "sensors", "tills", "monitoring")
LISTENERS = SHIPPED_CONFIGURATION.with_name("mosquitto-shop.conf")
ACCESS_RULES = SHIPPED_CONFIGURATION.with_name("mosquitto-acl.conf")


def password_of(role: str) -> str:
    return f"password of {role}"


def write_pem(path: Path, *blobs: trustme.Blob) -> Path:
    """Certificates or keys, one after the other, in one file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"".join(blob.bytes() for blob in blobs))
    return path


def _password_line(role: str) -> str:
    salt = role.encode().ljust(12)
    key = hashlib.pbkdf2_hmac("sha512", password_of(role).encode(), salt, 101)
    return f"{role}:$7$101${b64encode(salt).decode()}${b64encode(key).decode()}\n"


class ShopBroker(EmbeddedBroker):
    """mosquitto with mosquitto-shop.conf: devices come in at `port`, services with a certificate at `service_port`."""

    def __init__(self, data_dir: Path, ca: trustme.CA, certificate: trustme.LeafCert | None = None) -> None:
        super().__init__(data_dir, free_port())
        assert self.kind == "mosquitto"
        self.service_port = free_port()
        self.ca = ca
        self.ca_file = write_pem(self.data_dir / "secrets" / "ca.crt", ca.cert_pem)
        self.certificate = certificate or ca.issue_cert(LOOPBACK, "localhost")
        self.users: tuple[str, ...] = ROLES
        self.access_rules = ACCESS_RULES.read_text()

    def _write_configuration(self) -> None:
        secrets, configuration = self.data_dir / "secrets", self.data_dir / "config"
        (configuration / "listeners").mkdir(parents=True, exist_ok=True)
        (self.data_dir / "data").mkdir(exist_ok=True)
        self._write_certificate()
        (secrets / "passwords").write_text("".join(map(_password_line, self.users)))
        self._write_access_rules()
        ports = {"8883": f"{self.port} {LOOPBACK}", "8884": f"{self.service_port} {LOOPBACK}"}
        listeners = self._here(LISTENERS.read_text())
        for shipped, here in ports.items():
            listeners = listeners.replace(f"listener {shipped}", f"listener {here}")
        (configuration / "listeners" / "shop.conf").write_text(listeners)
        user = "user root\n" if os.geteuid() == 0 else ""
        self._configuration_path.write_text(user + self._here(SHIPPED_CONFIGURATION.read_text()))

    def terms(self) -> ssl.SSLContext:
        """TLS as a client without a certificate does it."""
        return client_context(self.ca_file)

    def renew(self, certificate: trustme.LeafCert) -> None:
        """Present another certificate from now on."""
        self.certificate = certificate
        self._write_certificate()
        os.kill(self.process.pid, signal.SIGHUP)

    def change_rules(self, rules: str) -> None:
        """Let these access rules hold from now on."""
        self.access_rules = rules
        self._write_access_rules()
        os.kill(self.process.pid, signal.SIGHUP)

    def _write_certificate(self) -> None:
        write_pem(self.data_dir / "secrets" / "broker.crt", *self.certificate.cert_chain_pems)
        write_pem(self.data_dir / "secrets" / "broker.key", self.certificate.private_key_pem)

    def _write_access_rules(self) -> None:
        path = self.data_dir / "config" / "acl.conf"
        path.write_text(self.access_rules)
        path.chmod(0o700)

    def _here(self, text: str) -> str:
        return text.replace("/mosquitto/", f"{self.data_dir}/")


class ShopClient:
    """Any MQTT 5 client, which waits for what the broker says."""

    def __init__(self, broker: ShopBroker, user: str, client_id: str = "") -> None:
        self._client = PlainClient(
            CallbackAPIVersion.VERSION2, client_id=client_id, protocol=MQTTProtocolVersion.MQTTv5
        )
        self._client.username_pw_set(user, password_of(user))
        self._client.tls_set_context(broker.terms())
        self._answers: Queue[ReasonCode | None] = Queue()
        self._messages: Queue[paho.MQTTMessage] = Queue()
        self._client.on_connect = lambda *said: self._answers.put(said[3])
        self._client.on_subscribe = lambda *_: self._answers.put(None)
        self._client.on_publish = lambda *said: self._answers.put(said[3])
        self._client.on_message = lambda *said: self._messages.put(said[2])
        self._client.connect(LOOPBACK, broker.port, clean_start=False)
        self._client.loop_start()
        assert self._answer() == 0

    def _answer(self) -> int:
        code = self._answers.get(timeout=PATIENCE_SECONDS)
        return 0 if code is None else code.value

    def subscribe(self, topic: str) -> None:
        self._client.subscribe(topic, qos=1)
        self._answer()

    def publish(self, topic: str, payload: bytes) -> int:
        """The reason code of the broker's acknowledgement."""
        self._client.publish(topic, payload, 1)
        return self._answer()

    def next_payload(self) -> bytes:
        return bytes(self._messages.get(timeout=PATIENCE_SECONDS).payload)

    def heard(self) -> list[str]:
        """The topics of all that the broker has sent until now: it answers in order."""
        self.subscribe("nobody/publishes/here")
        topics: list[str] = []
        while True:
            try:
                topics.append(self._messages.get_nowait().topic)
            except Empty:
                return topics

    def close(self) -> None:
        self._client.leave()


@contextmanager
def client_of(broker: ShopBroker, user: str, client_id: str = "") -> Iterator[ShopClient]:
    """A client that has come in under this name."""
    client = ShopClient(broker, user, client_id)
    try:
        yield client
    finally:
        client.close()


def context_with(ca_file: Path, certificate: trustme.LeafCert | None, folder: Path) -> ssl.SSLContext:
    """TLS as the service does it, with this client certificate."""
    if certificate is None:
        return client_context(ca_file)
    cert_file = write_pem(folder / "client.crt", *certificate.cert_chain_pems)
    return client_context(ca_file, cert_file, write_pem(folder / "client.key", certificate.private_key_pem))
