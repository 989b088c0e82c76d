"""The certificate is checked against the name, although an address is connected to."""

import datetime as dt
import ssl
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from config.kit import clock, egress
from providers.errors import UnreachableError
from providers.types import Endpoint
from providers.upstream import Upstream
from tests.fakes.upstream import FakeUpstream
from tests.providers.test_upstream import PATH, body, endpoint

HOST = "models.example"
DAY = dt.timedelta(days=1)


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A certificate for HOST that nobody signed but itself, with its key, in one file."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, HOST)])
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(clock.now() - DAY)
        .not_valid_after(clock.now() + DAY)
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(HOST)]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    path = tmp_path_factory.mktemp("tls") / "both.pem"
    path.write_bytes(
        made.public_bytes(serialization.Encoding.PEM)
        + key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
    )
    return path


@pytest.fixture
async def fake(certificate: Path) -> AsyncIterator[FakeUpstream]:
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server.load_cert_chain(certificate)
    async with FakeUpstream(tls=server) as running:
        yield running


async def lookup(_host: str, _port: int) -> list[str]:
    return ["127.0.0.1"]


def client(trusted: Path | None) -> Upstream:
    tls = ssl.create_default_context(cafile=str(trusted)) if trusted else None
    return Upstream(egress.policy(["127.0.0.1"]), lookup=lookup, tls=tls)


def secure(fake: FakeUpstream, host: str) -> Endpoint:
    return replace(endpoint(fake), scheme="https", host=host)


async def test_a_trusted_certificate_of_that_name(fake: FakeUpstream, certificate: Path):
    upstream = client(certificate)
    for _ in range(2):
        reply = await upstream.post(secure(fake, HOST), PATH, body("normal"))
        assert (await reply.read()).endswith(b"data: [DONE]\n\n")
    assert fake.connections == 1
    reply = await upstream.post(secure(fake, HOST), PATH, body("hang"))
    await anext(reply)
    reply.drop()
    await fake.wait_closed()
    await upstream.close()


async def test_a_slow_reader_holds_the_provider_back_under_tls_too(
    fake: FakeUpstream, certificate: Path
):
    upstream = client(certificate)
    reply = await upstream.post(secure(fake, HOST), PATH, body("huge-line"))
    assert len(await reply.read()) > 5_000_000
    await upstream.close()


@pytest.mark.parametrize("host", ["other.example", "127.0.0.1"])
async def test_another_name(fake: FakeUpstream, certificate: Path, host: str):
    upstream = client(certificate)
    with pytest.raises(UnreachableError):
        await upstream.post(secure(fake, host), PATH, body("normal"))
    assert fake.requests == []
    await upstream.close()


async def test_a_certificate_that_nobody_vouches_for(fake: FakeUpstream):
    upstream = client(None)
    with pytest.raises(UnreachableError):
        await upstream.post(secure(fake, HOST), PATH, body("normal"))
    assert fake.requests == []
    await upstream.close()
