"""Settling refuses what would not go to the paywall's own revenue."""

from pathlib import Path

from django.db import migrations

SQL = Path(__file__).resolve().parents[1] / "sql"


class Migration(migrations.Migration):
    dependencies = [("billing", "0019_drips")]

    operations = [
        migrations.RunSQL(
            (SQL / "0020_own_revenue.sql").read_text(),
            (SQL / "0020_own_revenue.reverse.sql").read_text(),
        ),
    ]
