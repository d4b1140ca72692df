"""A certificate authority of the org's own, and a server certificate for the loopback names of this machine.

Both are kept in a folder, so that a client that trusts the authority need not be told of a new one.
"""

from __future__ import annotations

import ipaddress
import ssl
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

LIFETIME = timedelta(days=825)  # clients refuse server certificates that are valid for longer
NAMES = ("localhost", "*.localhost", "local.my.salesforce.com")
ADDRESSES = ("127.0.0.1", "::1")


@dataclass(frozen=True, slots=True)
class Certificates:
    """Files in PEM form: clients trust `ca`; the server presents `chain` and holds `key`."""

    ca: Path
    chain: Path
    key: Path

    def ssl_context(self) -> ssl.SSLContext:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(self.chain, self.key)
        return context


def load_or_create(folder: Path) -> Certificates:
    """Return the certificates of `folder`. They are created if absent, or if they expire within a day."""
    certificates = Certificates(folder / "ca.pem", folder / "server.pem", folder / "server.key")
    if not _are_valid(certificates):
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        certificates.key.unlink(missing_ok=True)
        _create(certificates)
    return certificates


def _are_valid(files: Certificates) -> bool:
    if not (files.ca.is_file() and files.chain.is_file() and files.key.is_file()):
        return False
    try:
        chain = x509.load_pem_x509_certificate(files.chain.read_bytes())
    except ValueError:
        return False
    return chain.not_valid_after_utc > datetime.now(UTC) + timedelta(days=1)


def _create(files: Certificates) -> None:
    now = datetime.now(UTC)
    ca_key, key = (ec.generate_private_key(ec.SECP256R1()) for _ in range(2))
    ca_name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "Local org CA")])
    ca_identifier = x509.SubjectKeyIdentifier.from_public_key(ca_key.public_key())
    ca = (
        _certificate(ca_name, ca_name, ca_key.public_key(), now)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(_usage(signs_certificates=True), critical=True)
        .add_extension(ca_identifier, critical=False)
        .sign(ca_key, hashes.SHA256())
    )
    names = [*map(x509.DNSName, NAMES), *(x509.IPAddress(ipaddress.ip_address(item)) for item in ADDRESSES)]
    server = (
        _certificate(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "localhost")]), ca_name, key.public_key(), now)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(_usage(signs_certificates=False), critical=True)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
        .add_extension(x509.SubjectAlternativeName(names), critical=False)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .add_extension(
            x509.AuthorityKeyIdentifier.from_issuer_subject_key_identifier(ca_identifier), critical=False
        )
        .sign(ca_key, hashes.SHA256())
    )  # fmt: skip
    files.key.touch(mode=0o600, exist_ok=False)
    files.key.write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
    )  # fmt: skip
    pem = ca.public_bytes(serialization.Encoding.PEM)
    files.chain.write_bytes(server.public_bytes(serialization.Encoding.PEM) + pem)
    files.ca.write_bytes(pem)


def _certificate(
    subject: x509.Name, issuer: x509.Name, key: ec.EllipticCurvePublicKey, now: datetime
) -> x509.CertificateBuilder:
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(hours=1))
        .not_valid_after(now + LIFETIME)
    )


def _usage(*, signs_certificates: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=True,
        key_cert_sign=signs_certificates,
        crl_sign=signs_certificates,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        encipher_only=False,
        decipher_only=False,
    )
