"""A batch of settlements reads its own holds only."""

from pathlib import Path

from django.db import migrations

SQL = Path(__file__).resolve().parents[1] / "sql"


class Migration(migrations.Migration):
    dependencies = [("ledger", "0010_give_back")]

    operations = [
        migrations.RunSQL(
            (SQL / "0011_settle_many.sql").read_text(),
            (SQL / "0011_settle_many.reverse.sql").read_text(),
        ),
    ]
