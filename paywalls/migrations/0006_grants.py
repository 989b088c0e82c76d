"""What people allow paywalls to spend of their wallets."""

from pathlib import Path

import config.kit.clock
import config.kit.ids
import django.db.models.deletion
from django.db import migrations, models


SQL = Path(__file__).resolve().parents[1] / "sql"


class Migration(migrations.Migration):
    dependencies = [
        ("paywalls", "0005_people"),
    ]

    operations = [
        migrations.AlterField(
            model_name="enduser",
            name="wallet_id",
            field=models.UUIDField(
                db_index=True,
                editable=False,
                help_text="empty in Shared mode without a grant",
                null=True,
            ),
        ),
        migrations.CreateModel(
            name="GrantRequest",
            fields=[
                (
                    "id",
                    models.UUIDField(
                        default=config.kit.ids.uuid7,
                        editable=False,
                        primary_key=True,
                        serialize=False,
                    ),
                ),
                (
                    "state",
                    models.CharField(
                        choices=[
                            ("pending", "Pending"),
                            ("approved", "Approved"),
                            ("declined", "Declined"),
                        ],
                        default="pending",
                        max_length=8,
                    ),
                ),
                (
                    "reason",
                    models.CharField(blank=True, help_text="why it was declined", max_length=200),
                ),
                ("created_at", models.DateTimeField(default=config.kit.clock.now, editable=False)),
                ("closed_at", models.DateTimeField(null=True)),
                (
                    "end_user",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="grant_requests",
                        to="paywalls.enduser",
                    ),
                ),
                (
                    "paywall",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="+",
                        to="paywalls.paywall",
                    ),
                ),
                (
                    "person",
                    models.ForeignKey(
                        null=True,
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="+",
                        to="paywalls.person",
                    ),
                ),
            ],
        ),
        migrations.CreateModel(
            name="Grant",
            fields=[
                (
                    "id",
                    models.UUIDField(
                        default=config.kit.ids.uuid7,
                        editable=False,
                        primary_key=True,
                        serialize=False,
                    ),
                ),
                ("livemode", models.BooleanField(editable=False)),
                ("cap", models.BigIntegerField(help_text="what it may spend in a period")),
                (
                    "cap_period",
                    models.CharField(
                        choices=[
                            ("day", "a day"),
                            ("week", "a week"),
                            ("month", "a month"),
                            ("total", "in all"),
                        ],
                        max_length=8,
                    ),
                ),
                (
                    "request_most",
                    models.BigIntegerField(
                        help_text="what one request may set aside; empty: as much as the cap",
                        null=True,
                    ),
                ),
                ("ends_at", models.DateTimeField(null=True)),
                (
                    "consent",
                    models.JSONField(default=dict, help_text="what was shown when it was given"),
                ),
                ("paused_at", models.DateTimeField(null=True)),
                ("revoked_at", models.DateTimeField(null=True)),
                ("revoked_by", models.CharField(blank=True, max_length=100)),
                ("created_at", models.DateTimeField(default=config.kit.clock.now, editable=False)),
                (
                    "end_user",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="grants",
                        to="paywalls.enduser",
                    ),
                ),
                (
                    "paywall",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="grants",
                        to="paywalls.paywall",
                    ),
                ),
                (
                    "person",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="grants",
                        to="paywalls.person",
                    ),
                ),
                (
                    "request",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="+",
                        to="paywalls.grantrequest",
                    ),
                ),
            ],
        ),
        migrations.CreateModel(
            name="Approval",
            fields=[
                (
                    "id",
                    models.UUIDField(
                        default=config.kit.ids.uuid7,
                        editable=False,
                        primary_key=True,
                        serialize=False,
                    ),
                ),
                ("token_hash", models.BinaryField(max_length=32, unique=True)),
                ("expires_at", models.DateTimeField()),
                ("used_at", models.DateTimeField(null=True)),
                ("created_at", models.DateTimeField(default=config.kit.clock.now, editable=False)),
                (
                    "person",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="+",
                        to="paywalls.person",
                    ),
                ),
                (
                    "request",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="approvals",
                        to="paywalls.grantrequest",
                    ),
                ),
            ],
        ),
        migrations.AddIndex(
            model_name="grantrequest",
            index=models.Index(fields=["end_user", "-id"], name="grant_request_of_user"),
        ),
        migrations.AddConstraint(
            model_name="grantrequest",
            constraint=models.UniqueConstraint(
                condition=models.Q(("state", "pending")),
                fields=("end_user",),
                name="grant_request_pending_once",
            ),
        ),
        migrations.AddConstraint(
            model_name="grantrequest",
            constraint=models.CheckConstraint(
                condition=models.Q(
                    models.Q(("closed_at__isnull", True), ("state", "pending")),
                    models.Q(
                        ("closed_at__isnull", False),
                        ("person__isnull", False),
                        ("state", "approved"),
                    ),
                    models.Q(("closed_at__isnull", False), ("state", "declined")),
                    _connector="OR",
                ),
                name="grant_request_state",
            ),
        ),
        migrations.AddIndex(
            model_name="grant",
            index=models.Index(fields=["person", "livemode", "-id"], name="grant_of_person"),
        ),
        migrations.AddConstraint(
            model_name="grant",
            constraint=models.UniqueConstraint(
                condition=models.Q(("revoked_at__isnull", True)),
                fields=("end_user",),
                name="grant_once",
            ),
        ),
        migrations.AddConstraint(
            model_name="grant",
            constraint=models.CheckConstraint(
                condition=models.Q(
                    ("cap__gt", 0),
                    ("cap__lte", 1000000000000000000),
                    models.Q(
                        ("request_most__isnull", True), ("request_most__gt", 0), _connector="OR"
                    ),
                ),
                name="grant_amounts",
            ),
        ),
        migrations.AddConstraint(
            model_name="grant",
            constraint=models.CheckConstraint(
                condition=models.Q(("cap_period__in", ["day", "week", "month", "total"])),
                name="grant_period_known",
            ),
        ),
        migrations.RunSQL(
            (SQL / "0006_grants.sql").read_text(), (SQL / "0006_grants.reverse.sql").read_text()
        ),
    ]
