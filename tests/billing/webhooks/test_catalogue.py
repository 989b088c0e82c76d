"""The catalogue is the published one, and the documentation's table is the catalogue."""

from billing.webhooks.events import TYPES
from tests.support.documents import DOCS, rows

PUBLISHED = """
    updated archived secret.rotated integration.connected integration.disconnected
    integration.stripe.webhook.rotated authorization.requested authorization.completed
    authorization.revoked authorization.declined balance.deposit.created
    balance.topup.link.created balance.trial.granted balance.charge.created
    balance.charge.completed balance.charge.failed usage.charge.created usage.charge.deferred
    usage.rate.limited balance.depleted request.blocked proxy.request.blocked
    stripe.checkout.session.completed proxy.request.started proxy.request.completed
    proxy.request.failed proxy.request.canceled
"""
OURS = """
    balance.low balance.refunded dispute.opened dispute.won dispute.lost subscription.renewed
    subscription.past_due subscription.canceled withdrawal.requested withdrawal.paid
    withdrawal.failed
"""


def test_every_published_type_and_ours():
    assert len(PUBLISHED.split()) == 27
    assert list(TYPES) == [f"paywall.{each}" for each in (PUBLISHED + OURS).split()]


def test_the_documentation_has_the_whole_table():
    told = {row[0]: row[1:] for row in rows((DOCS / "webhooks.md").read_text())}
    for name, type_ in TYPES.items():
        fields, when = told[name]
        assert (fields.replace("`", ""), when) == (", ".join(type_.fields), type_.when), name
