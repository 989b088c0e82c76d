"""Keys through which nobody can pay are known, and their owners told."""

from pathlib import Path

from django.db import migrations, models

SQL = Path(__file__).resolve().parents[1] / "sql"


class Migration(migrations.Migration):
    dependencies = [("billing", "0020_own_revenue"), ("paywalls", "0003_notify")]

    operations = [
        migrations.AddField(
            "stripeaccount",
            "stopped_at",
            models.DateTimeField(
                blank=True, help_text="since when nobody can pay; empty: people can", null=True
            ),
        ),
        migrations.AddField(
            "stripeaccount",
            "told_at",
            models.DateTimeField(
                blank=True, help_text="when the owners were told of the trouble", null=True
            ),
        ),
        migrations.RunSQL(
            (SQL / "0021_stopped.sql").read_text(),
            (SQL / "0021_stopped.reverse.sql").read_text(),
        ),
    ]
