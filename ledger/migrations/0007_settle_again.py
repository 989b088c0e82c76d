"""A free chat's settlement that is tried again finds itself."""

from pathlib import Path

from django.db import migrations

SQL = Path(__file__).resolve().parents[1] / "sql"


class Migration(migrations.Migration):
    dependencies = [("ledger", "0006_sums")]

    operations = [
        migrations.RunSQL(
            (SQL / "0007_settle_again.sql").read_text(),
            (SQL / "0007_settle_again.reverse.sql").read_text(),
        ),
    ]
