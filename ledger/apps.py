"""The ledger app."""

from django.apps import AppConfig
from django.db.models.signals import post_migrate

from ledger.grants import grant_runtime


class LedgerConfig(AppConfig):
    """Double entry: knows accounts by opaque owners, nothing of paywalls."""

    name = "ledger"

    def ready(self) -> None:
        post_migrate.connect(grant_runtime, dispatch_uid="ledger.grant_runtime")
