"""The Celery app and its timetable: one line per job."""

import os
from typing import Final

from celery import Celery
from celery.schedules import crontab

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")

app: Final = Celery("paywalls")
app.config_from_object("django.conf:settings", namespace="CELERY")
app.autodiscover_tasks()

EVERY_NIGHT: Final = crontab(hour=3, minute=0)
TIMETABLE: Final = {
    "billing.tasks.check_destinations": EVERY_NIGHT,
    "billing.tasks.check_stripe_accounts": EVERY_NIGHT,
    "billing.tasks.clear_earnings": 60.0,
    "billing.tasks.deliver_events": 1.0,
    "billing.tasks.drip_plans": 60.0,
    "billing.tasks.ensure_partitions": EVERY_NIGHT,
    "billing.tasks.expire_lots": 60.0,
    "billing.tasks.follow_person_orders": 5.0,
    "billing.tasks.forget_cards": EVERY_NIGHT,
    "billing.tasks.forget_promo_tries": EVERY_NIGHT,
    "billing.tasks.forget_stripe_events": EVERY_NIGHT,
    "billing.tasks.mail_notices": 60.0,
    "billing.tasks.mind_stripe_accounts": 60.0,
    "billing.tasks.pay_withdrawals": 30.0,
    "billing.tasks.process_stripe_events": 1.0,
    "billing.tasks.rank_users": 600.0,
    "billing.tasks.reap_holds": 5.0,
    "billing.tasks.reconcile_person_orders": 3_600.0,
    "billing.tasks.reconcile_stripe": 3_600.0,
    "billing.tasks.refill_balances": 1.0,
    "billing.tasks.request_withdrawals": EVERY_NIGHT,
    "billing.tasks.roll_up": 60.0,
    "billing.tasks.verify_ledger": EVERY_NIGHT,
    "billing.tasks.verify_new": 60.0,
    "billing.tasks.watch_balances": 2.0,
    "ledger.tasks.make_checkpoints": EVERY_NIGHT,
    "ledger.tasks.roll_up": 60.0,
    "providers.tasks.sync_models": EVERY_NIGHT,
}
app.conf.beat_schedule = {
    task: {
        "task": task,
        "schedule": when,
        # A run that nobody took in time is skipped: the next one does its work.
        "options": {"expires": when if isinstance(when, float) else 3600},
    }
    for task, when in TIMETABLE.items()
}
