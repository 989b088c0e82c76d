"""Events out: subscriptions, and what is told to them."""

from pathlib import Path

import django.db.models.deletion
from django.db import migrations, models

import config.kit.clock
import config.kit.ids

SQL = Path(__file__).resolve().parents[1] / "sql"


class Migration(migrations.Migration):
    dependencies = [("billing", "0009_stripe"), ("paywalls", "0003_notify")]

    operations = [
        migrations.CreateModel(
            name="Event",
            fields=[
                ("id", models.UUIDField(editable=False, primary_key=True, serialize=False)),
                ("paywall_id", models.UUIDField()),
                ("livemode", models.BooleanField()),
                ("type", models.CharField(max_length=64)),
                ("user_id", models.UUIDField(null=True)),
                ("source", models.CharField(max_length=16)),
                ("actor", models.CharField(max_length=100)),
                ("facts", models.JSONField()),
                ("created_at", models.DateTimeField()),
            ],
            options={"db_table": "billing_event", "managed": False},
        ),
        migrations.CreateModel(
            name="Delivery",
            fields=[
                ("id", models.UUIDField(editable=False, primary_key=True, serialize=False)),
                ("event_id", models.UUIDField()),
                ("subscription_id", models.UUIDField()),
                ("paywall_id", models.UUIDField()),
                ("type", models.CharField(max_length=64)),
                ("status", models.CharField(max_length=8)),
                ("attempts", models.SmallIntegerField()),
                ("due_at", models.DateTimeField()),
                ("last_attempt_at", models.DateTimeField(null=True)),
                ("response_code", models.SmallIntegerField(null=True)),
                ("latency_ms", models.IntegerField(null=True)),
                ("error", models.CharField(blank=True, max_length=200)),
                ("response", models.CharField(blank=True, max_length=1024)),
                ("created_at", models.DateTimeField()),
                ("updated_at", models.DateTimeField()),
            ],
            options={
                "verbose_name_plural": "deliveries",
                "db_table": "billing_delivery",
                "managed": False,
            },
        ),
        migrations.CreateModel(
            name="EventMark",
            fields=[
                ("pk", models.CompositePrimaryKey("paywall_id", "mark", blank=True, editable=False, primary_key=True, serialize=False)),
                ("paywall_id", models.UUIDField()),
                ("mark", models.CharField(max_length=200)),
                ("created_at", models.DateTimeField()),
            ],
        ),
        migrations.CreateModel(
            name="Subscription",
            fields=[
                ("id", models.UUIDField(default=config.kit.ids.uuid7, editable=False, primary_key=True, serialize=False)),
                ("kind", models.CharField(choices=[("webhook", "webhook"), ("posthog", "PostHog"), ("message", "message endpoint")], default="webhook", max_length=8)),
                ("url", models.CharField(max_length=2000)),
                ("events", models.JSONField(default=list, help_text="types, prefixes ending in .*, or * alone")),
                ("description", models.CharField(blank=True, max_length=512)),
                ("headers", models.JSONField(blank=True, default=dict)),
                ("sealed_secret", models.BinaryField()),
                ("secret_suffix", models.CharField(editable=False, max_length=6)),
                ("sealed_previous", models.BinaryField(null=True)),
                ("previous_until", models.DateTimeField(blank=True, editable=False, null=True)),
                ("is_active", models.BooleanField(default=True)),
                ("created_by", models.CharField(editable=False, max_length=100)),
                ("consecutive_failures", models.PositiveIntegerField(default=0, editable=False)),
                ("first_failure_at", models.DateTimeField(blank=True, editable=False, null=True)),
                ("last_delivered_at", models.DateTimeField(blank=True, editable=False, null=True)),
                ("created_at", models.DateTimeField(default=config.kit.clock.now, editable=False)),
                ("updated_at", models.DateTimeField(default=config.kit.clock.now, editable=False)),
                ("paywall", models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, related_name="subscriptions", to="paywalls.paywall")),
            ],
            options={
                "constraints": [
                    models.CheckConstraint(condition=models.Q(("kind__in", ["webhook", "posthog", "message"])), name="subscription_kind_known"),
                    models.UniqueConstraint(condition=models.Q(("kind", "webhook"), _negated=True), fields=("paywall", "kind"), name="subscription_once"),
                ],
            },
        ),
        migrations.RunSQL(
            (SQL / "0010_events.sql").read_text(),
            (SQL / "0010_events.reverse.sql").read_text(),
        ),
    ]
