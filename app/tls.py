"""TLS to the broker: the terms of it, and sentences for what goes wrong."""

import ssl
from pathlib import Path

# Codes of OpenSSL (x509_vfy.h).
NOT_YET_VALID, EXPIRED = 9, 10
UNTRUSTED = (2, 7, 18, 19, 20, 21)
OTHER_NAME = (62, 64)
REFUSALS = {
    "the broker speaks no TLS 1.2 or newer": (
        "UNSUPPORTED_PROTOCOL",
        "TLSV1_ALERT_PROTOCOL_VERSION",
        "NO_PROTOCOLS_AVAILABLE",
        "VERSION_TOO_LOW",
    ),
    "the broker does not speak TLS on this port": ("WRONG_VERSION_NUMBER", "HTTP_REQUEST", "PACKET_LENGTH_TOO_LONG"),
    "the broker wants a client certificate: set MQTT_CLIENT_CERT_FILE": ("TLSV13_ALERT_CERTIFICATE_REQUIRED",),
    "the broker breaks off: perhaps it wants a client certificate (MQTT_CLIENT_CERT_FILE)": (
        "SSLV3_ALERT_HANDSHAKE_FAILURE",
    ),
    "the broker does not know the CA of MQTT_CLIENT_CERT_FILE": ("TLSV1_ALERT_UNKNOWN_CA",),
    "the broker says that MQTT_CLIENT_CERT_FILE has expired": ("SSLV3_ALERT_CERTIFICATE_EXPIRED",),
    "the broker says that MQTT_CLIENT_CERT_FILE has been revoked": ("SSLV3_ALERT_CERTIFICATE_REVOKED",),
    "the broker does not accept MQTT_CLIENT_CERT_FILE": (
        "SSLV3_ALERT_BAD_CERTIFICATE",
        "SSLV3_ALERT_CERTIFICATE_UNKNOWN",
        "SSLV3_ALERT_UNSUPPORTED_CERTIFICATE",
        "TLSV1_ALERT_ACCESS_DENIED",
        "TLSV1_ALERT_DECRYPT_ERROR",
    ),
}
SENTENCES = {reason: sentence for sentence, reasons in REFUSALS.items() for reason in reasons}


class FileRefused(ValueError):
    """The file of a variable cannot be used for TLS."""

    def __init__(self, variable: str, problem: str) -> None:
        super().__init__(f"Cannot use {variable} env variable: {problem}")


def client_context(ca_file: Path, cert_file: Path | None = None, key_file: Path | None = None) -> ssl.SSLContext:
    """TLS 1.2 or newer, the broker's name checked. Raises FileRefused, and OSError for files that cannot be read."""
    try:
        context = ssl.create_default_context(cafile=str(ca_file))
    except ssl.SSLError:
        raise FileRefused("MQTT_BROKER_CERT_FILE", f"{ca_file} holds no certificate (PEM).") from None
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    if cert_file is not None:
        _load_client_certificate(context, cert_file, key_file or cert_file)
    return context


def _load_client_certificate(context: ssl.SSLContext, cert_file: Path, key_file: Path) -> None:
    if "ENCRYPTED" in key_file.read_text(errors="replace"):  # OpenSSL would ask for the password at the terminal
        raise FileRefused("MQTT_CLIENT_KEY_FILE", f"{key_file} is encrypted: nobody can be asked, so decrypt the key.")
    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_verify_locations(cert_file)
    except ssl.SSLError:
        raise FileRefused("MQTT_CLIENT_CERT_FILE", f"{cert_file} holds no certificate (PEM).") from None
    try:
        context.load_cert_chain(cert_file, key_file)
    except ssl.SSLError as error:
        if error.reason == "KEY_VALUES_MISMATCH":
            problem = f"{key_file} is not the key of the certificate in {cert_file}."
        else:
            problem = f"{key_file} cannot be used with {cert_file}: {_words(error) or 'it holds no private key (PEM)'}."
        raise FileRefused("MQTT_CLIENT_KEY_FILE", problem) from None


def _words(error: ssl.SSLError) -> str:
    return (error.reason or "").replace("_", " ").lower()


def problem_of(error: Exception) -> str:
    """A sentence for people about a connection that could not be made, or was lost."""
    match error:
        case ssl.SSLCertVerificationError():
            return _certificate_problem(error.verify_code, error.verify_message)
        case ssl.SSLEOFError() | ssl.SSLZeroReturnError() | ConnectionResetError() | BrokenPipeError():
            return (
                "the broker hung up when TLS was begun: perhaps this port is without TLS, or wants other certificates"
            )
        case ssl.SSLError():
            return SENTENCES.get(error.reason, f"TLS with the broker failed: {_words(error) or 'no reason given'}")
        case TimeoutError():
            return "the broker did not answer in time"
        case _:
            return str(error) or type(error).__name__


def _certificate_problem(code: int, said: str) -> str:
    if code in UNTRUSTED:
        return f"the broker's certificate is signed by no CA in MQTT_BROKER_CERT_FILE ({said})"
    if code in OTHER_NAME:
        return f"the broker's certificate is for another name than the one in MQTT_HOST ({said.rstrip('.')})"
    if code == EXPIRED:
        return "the broker's certificate has expired"
    if code == NOT_YET_VALID:
        return "the broker's certificate is not valid yet: perhaps a clock is wrong"
    return f"the broker's certificate is not accepted: {said}"
