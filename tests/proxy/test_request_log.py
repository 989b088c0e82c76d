"""The line that each request leaves: written soon, written whole, and with nothing secret in it."""

from io import FileIO, TextIOWrapper

import orjson

from proxy import metrics
from proxy.metrics import RequestLog
from tests.proxy.tenant import Tenant


def lines(text: str) -> list[dict[str, object]]:
    return [
        orjson.loads(line) for line in text.splitlines() if line.startswith('{"event":"request"')
    ]


async def test_lines_are_written_together(capfdbinary):
    log = RequestLog()
    for number in range(3):
        log.note({"route": "/v1/x", "status": number})
    assert capfdbinary.readouterr().err == b""
    log.flush()
    assert [line["status"] for line in lines(capfdbinary.readouterr().err.decode())] == [0, 1, 2]


async def test_many_lines_do_not_wait(capfdbinary, monkeypatch):
    monkeypatch.setattr(metrics, "LINES_MAX", 2)
    log = RequestLog()
    log.note({"route": "/v1/x"})
    log.note({"route": "/v1/y"})
    assert len(lines(capfdbinary.readouterr().err.decode())) == 2


async def test_a_full_disk_costs_lines_and_no_request(monkeypatch):
    monkeypatch.setattr(metrics, "LINES_MAX", 2)
    log = RequestLog()
    for _ in range(4):
        with TextIOWrapper(FileIO("/dev/full", "w")) as full, monkeypatch.context() as patched:
            patched.setattr("sys.stderr", full)
            log.note({"route": "/v1/x"})
    assert log._lines == []


async def test_a_line_holds_neither_key_nor_user(tenant: Tenant, capfdbinary):
    await tenant.get(f"/v1/user/balance?user={tenant.user}")
    assert tenant.app._services
    log = tenant.app._services.metrics.log
    assert log is not None
    log.flush()
    written = capfdbinary.readouterr().err.decode()
    assert [line["route"] for line in lines(written)] == ["/v1/user/balance"]
    assert tenant.token not in written
    assert tenant.user not in written
