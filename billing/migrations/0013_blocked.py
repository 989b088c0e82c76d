"""Refusals by a rule, told."""

from pathlib import Path

from django.db import migrations

SQL = Path(__file__).resolve().parents[1] / "sql"


class Migration(migrations.Migration):
    dependencies = [("billing", "0012_writeoff_once")]

    operations = [
        migrations.RunSQL(
            (SQL / "0013_blocked.sql").read_text(),
            (SQL / "0013_blocked.reverse.sql").read_text(),
        ),
    ]
