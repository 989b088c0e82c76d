"""The certificate is checked against the name, although an address is connected to."""

import ssl
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest

from config.kit import egress
from providers.errors import UnreachableError
from providers.types import Endpoint
from providers.upstream import Upstream
from tests.fakes.upstream import FakeUpstream
from tests.providers.test_upstream import PATH, body, endpoint
from tests.support.tls import certificate_for

HOST = "models.example"


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return certificate_for(HOST, folder=tmp_path_factory.mktemp("tls"))


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
