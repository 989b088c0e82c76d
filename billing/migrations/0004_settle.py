"""Settling, and the reaper."""

from pathlib import Path

from django.db import migrations

SQL = Path(__file__).resolve().parents[1] / "sql"


class Migration(migrations.Migration):
    dependencies = [("billing", "0003_reserve")]

    operations = [
        migrations.RunSQL(
            (SQL / "0004_settle.sql").read_text(),
            (SQL / "0004_settle.reverse.sql").read_text(),
        ),
    ]
