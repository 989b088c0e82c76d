"""Chats tell of themselves."""

from pathlib import Path

from django.db import migrations

SQL = Path(__file__).resolve().parents[1] / "sql"


class Migration(migrations.Migration):
    dependencies = [("billing", "0013_blocked")]

    operations = [
        migrations.RunSQL(
            (SQL / "0014_told.sql").read_text(),
            (SQL / "0014_told.reverse.sql").read_text(),
        ),
    ]
