"""The billing app."""

from django.apps import AppConfig


class BillingConfig(AppConfig):
    """Everything that moves money; the only caller of the ledger's writers."""

    name = "billing"
