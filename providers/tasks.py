"""What the workers do for this app. Each may run twice, and late."""

from celery import shared_task
from django.db import transaction

from providers import sync


@shared_task
def sync_models() -> None:
    """Bring the catalogue up to the price book that is installed."""
    with transaction.atomic(durable=True):
        sync.sync_price_book()
