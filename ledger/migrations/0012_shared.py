"""Counters of weeks and of all time; charges that several accounts share."""

from pathlib import Path

from django.db import migrations, models

SQL = Path(__file__).resolve().parents[1] / "sql"


class Migration(migrations.Migration):
    dependencies = [("ledger", "0011_settle_many")]

    operations = [
        migrations.AddField("counter", "week", models.DateField(help_text="its Monday", null=True)),
        migrations.AddField("counter", "week_spent", models.BigIntegerField(db_default=0)),
        migrations.AddField("counter", "total_spent", models.BigIntegerField(db_default=0)),
        migrations.RunSQL(
            (SQL / "0012_shared.sql").read_text(), (SQL / "0012_shared.reverse.sql").read_text()
        ),
    ]
