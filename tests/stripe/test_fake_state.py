"""The stand-in of the demo survives its own restart."""

from pathlib import Path

from tests.fakes.stripe.keys import seeded
from tests.fakes.stripe.server import running
from tests.stripe.conftest import Shop
from tests.stripe.sink import Sink


def test_everything_is_there_after_a_restart(tmp_path: Path, sink: Sink) -> None:
    path = tmp_path / "stripe.json"
    key = seeded("sk", "test")
    with running(path) as fake:
        shop = Shop(fake, fake.client(key).v1)
        shop.listen(sink, "checkout.session.completed")
        _, plan = shop.subscribed()
        sink.wait(1)
        shop.later(days=10)
        sink.statuses = [500]
        shop.paid()
        sink.wait(2)
        open_one = shop.session()
        now = fake.program.world.now()
    assert path.stat().st_mode & 0o777 == 0o600
    with running(path) as fake:
        shop = Shop(fake, fake.client(key).v1)
        assert fake.program.world.now() - now < 60
        assert shop.finish(open_one)["payment_status"] == "paid"
        shop.later(days=22)
        assert [reason for reason, _, _ in shop.reasons(plan.id)] == [
            "subscription_create",
            "subscription_cycle",
        ]
        assert len(sink.arrivals) == 4


def test_a_reset_forgets_all_but_the_seeded_keys(shop: Shop) -> None:
    shop.paid()
    key = shop.fake.key(account="acct_a")
    shop.fake.test("reset")
    assert not shop.v1.checkout.sessions.list().data
    assert key not in shop.fake.program.world.keys
