"""What must hold of stored secrets before the product starts."""

from django.core.checks import CheckMessage, Error, Tags, register

from billing.stripe import endpoint
from billing.stripe.models import StripeAccount
from config.checks import STORED


# A check of deployments and of the database, so that no command asks: `migrate` has no tables yet.
@register(STORED, Tags.database, deploy=True)
def check_webhook_secrets(**_kwargs: object) -> list[CheckMessage]:
    """With a blank secret everybody could sign for Stripe. Saving refuses one as well."""
    rows = StripeAccount.objects.exclude(sealed_secret=None).select_related("paywall")
    return [
        Error(
            f"The Stripe webhook secret of {row.public_id} is blank or too short.",
            hint=f"Make it anew: ./run manage rotate_stripe_secret {row.paywall.public_id}",
            id="paywalls.E007",
        )
        for row in rows.iterator()
        if endpoint.has_blank_secret(row)
    ]
