"""The official command line works against the stand-in, where it is installed.

`npm install @stripe/cli`, then STRIPE_CLI names the program unless `stripe` is on the PATH.
"""

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.fakes.stripe.keys import seeded
from tests.fakes.stripe.server import Running

CLI = os.environ.get("STRIPE_CLI") or shutil.which("stripe")

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(CLI is None, reason="the Stripe CLI is not installed"),
]


@pytest.mark.parametrize(
    "event",
    [
        "charge.dispute.created",
        "charge.refunded",
        "checkout.session.completed",
        "checkout.session.expired",
        "customer.subscription.deleted",
        "invoice.paid",
        "invoice.payment_action_required",
        "invoice.payment_failed",
        "payment_intent.payment_failed",
        "payment_intent.succeeded",
        "payment_method.attached",
        "payout.created",
        "promotion_code.created",
        "setup_intent.succeeded",
    ],
)
def test_the_cli_triggers(fake: Running, tmp_path: Path, event: str) -> None:
    done = trigger(fake, tmp_path, event)
    assert done.returncode == 0, done.stdout + done.stderr
    assert event in happened(fake)


@pytest.mark.parametrize("ending", ["succeeded", "failed"])
def test_the_cli_triggers_bank_debits_that_end_days_later(
    fake: Running, tmp_path: Path, ending: str
) -> None:
    event = f"checkout.session.async_payment_{ending}"
    assert trigger(fake, tmp_path, event).returncode == 0
    assert event not in happened(fake)
    fake.test("clock", "advance", seconds=4 * 86_400)
    assert event in happened(fake)


def trigger(fake: Running, home: Path, event: str) -> "subprocess.CompletedProcess[str]":
    assert CLI is not None
    return subprocess.run(
        [CLI, "trigger", event, "--api-base", fake.url, "--api-key", seeded("sk", "test")],
        capture_output=True,
        text=True,
        timeout=30,
        env={"HOME": str(home), "PATH": os.environ["PATH"]},
        check=False,
    )


def happened(fake: Running) -> list[str]:
    return [
        event["type"]
        for realm in fake.program.world.realms.values()
        for event in realm.all("event")
    ]
