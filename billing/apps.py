"""The billing app."""

from importlib import import_module

from django.apps import AppConfig


class BillingConfig(AppConfig):
    """Everything that moves money; the only caller of the ledger's writers."""

    name = "billing"

    def ready(self) -> None:
        import_module("billing.checks")
