"""The files of certificates and keys: what cannot be used ends the start, with a sentence that names the variable."""

import ssl
from collections.abc import Sequence
from pathlib import Path

import pytest
import trustme
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    PrivateFormat,
    load_pem_private_key,
)

from app.errors import ConfigurationError
from app.main import app_or_exit
from app.settings import EXIT_CODE, Settings
from tests.security.shop import write_pem


@pytest.fixture
def environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, ca: trustme.CA) -> pytest.MonkeyPatch:
    """A complete environment, with the right files."""
    certificate = ca.issue_cert("service@shop.example")
    files = {
        "MQTT_BROKER_CERT_FILE": write_pem(tmp_path / "ca.crt", ca.cert_pem),
        "MQTT_CLIENT_CERT_FILE": write_pem(tmp_path / "client.crt", *certificate.cert_chain_pems),
        "MQTT_CLIENT_KEY_FILE": write_pem(tmp_path / "client.key", certificate.private_key_pem),
    }
    others = {
        "MQTT_HOST": "broker",
        "ENTRY_EVENT_TOPIC_NAME": "customer/enter",
        "FOCUS_EVENT_TOPIC_NAME": "customer/focus",
        "COUPON_PREDICTION_TOPIC_NAME": "customer/prediction",
        "TESTING_NO_POSTGRES": "true",
    }
    for name, value in {**files, **others}.items():
        monkeypatch.setenv(name, str(value))
    return monkeypatch


def problems() -> Sequence[str]:
    with pytest.raises(ConfigurationError) as caught:
        Settings.from_environment()
    return caught.value.problems


def test_the_right_files_are_taken(environment: pytest.MonkeyPatch) -> None:
    context = Settings.from_environment().broker_tls()

    assert context is not None
    assert (context.minimum_version, context.verify_mode) == (ssl.TLSVersion.TLSv1_2, ssl.CERT_REQUIRED)
    assert context.check_hostname


GARBAGE = [b"", b"garbage", b"\xff\x00" * 100, b"-----BEGIN CERTIFICATE-----\nAAAA\n"]


@pytest.mark.parametrize("variable", ["MQTT_BROKER_CERT_FILE", "MQTT_CLIENT_CERT_FILE"])
@pytest.mark.parametrize("garbage", GARBAGE)
def test_a_certificate_of_garbage_is_refused_by_the_name_of_its_variable(
    environment: pytest.MonkeyPatch, tmp_path: Path, variable: str, garbage: bytes
) -> None:
    path = tmp_path / "garbage"
    path.write_bytes(garbage)
    environment.setenv(variable, str(path))

    assert problems() == (f"Cannot use {variable} env variable: {path} holds no certificate (PEM).",)


@pytest.mark.parametrize("garbage", GARBAGE)
def test_a_key_of_garbage_is_refused_by_the_name_of_its_variable(
    environment: pytest.MonkeyPatch, tmp_path: Path, garbage: bytes
) -> None:
    path = tmp_path / "client.key"
    path.write_bytes(garbage)

    assert problems() == (
        f"Cannot use MQTT_CLIENT_KEY_FILE env variable: {path} cannot be used with {tmp_path / 'client.crt'}: "
        "it holds no private key (PEM).",
    )


@pytest.mark.parametrize("variable", ["MQTT_BROKER_CERT_FILE", "MQTT_CLIENT_CERT_FILE", "MQTT_CLIENT_KEY_FILE"])
def test_a_folder_in_place_of_a_file_is_refused(environment: pytest.MonkeyPatch, tmp_path: Path, variable: str) -> None:
    environment.setenv(variable, str(tmp_path))

    assert problems() == (f"Cannot use {variable} env variable: {tmp_path} cannot be read.",)


def test_the_key_of_another_certificate_is_refused(
    environment: pytest.MonkeyPatch, tmp_path: Path, ca: trustme.CA
) -> None:
    path = write_pem(tmp_path / "other.key", ca.issue_cert("other@shop.example").private_key_pem)
    environment.setenv("MQTT_CLIENT_KEY_FILE", str(path))

    assert problems() == (
        f"Cannot use MQTT_CLIENT_KEY_FILE env variable: {path} is not the key of the certificate in "
        f"{tmp_path / 'client.crt'}.",
    )


def encrypted(key: bytes, form: PrivateFormat) -> bytes:
    loaded = load_pem_private_key(key, None)
    return loaded.private_bytes(Encoding.PEM, form, BestAvailableEncryption(b"password"))


@pytest.mark.parametrize("form", [PrivateFormat.PKCS8, PrivateFormat.TraditionalOpenSSL], ids=["new form", "old form"])
def test_an_encrypted_key_is_refused_and_nobody_is_asked_for_its_password(
    environment: pytest.MonkeyPatch, tmp_path: Path, form: PrivateFormat
) -> None:
    path = tmp_path / "client.key"
    path.write_bytes(encrypted(path.read_bytes(), form))

    assert problems() == (
        f"Cannot use MQTT_CLIENT_KEY_FILE env variable: {path} is encrypted: nobody can be asked, so decrypt the key.",
    )


def test_a_start_with_files_that_cannot_be_used_ends_with_code_78(
    environment: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "ca.crt").write_bytes(b"garbage")

    with pytest.raises(SystemExit) as ended:
        app_or_exit()

    assert ended.value.code == EXIT_CODE
    assert capsys.readouterr().err == (
        f"Cannot use MQTT_BROKER_CERT_FILE env variable: {tmp_path / 'ca.crt'} holds no certificate (PEM).\n"
    )
