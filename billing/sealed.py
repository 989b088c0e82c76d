"""Every sealed column of this app that lasts: stored answers are gone within a day."""

from typing import Final

from billing.stripe import client, endpoint, platform
from billing.stripe.models import StripeAccount
from billing.stripe.person_models import PlatformStripe
from billing.webhooks.models import Subscription
from billing.withdrawals import bank
from billing.withdrawals.models import Destination
from config.kit.sealed import SealedColumn

SEALED: Final = (
    SealedColumn(StripeAccount, "sealed_key", client.seal_context),
    SealedColumn(StripeAccount, "sealed_secret", endpoint.seal_context),
    SealedColumn(StripeAccount, "sealed_previous_secret", endpoint.seal_context),
    SealedColumn(Subscription, "sealed_secret", lambda row: str(row.seal_context)),
    SealedColumn(Subscription, "sealed_previous", lambda row: str(row.seal_context)),
    SealedColumn(PlatformStripe, "sealed_key", platform.seal_context),
    SealedColumn(PlatformStripe, "sealed_secret", platform.seal_context),
    SealedColumn(PlatformStripe, "sealed_connect_secret", platform.seal_context),
    SealedColumn(Destination, "sealed", bank.seal_context),
)
