"""Roll-ups without an end that one tenant could reach for all."""

from pathlib import Path

from django.db import migrations

import config.kit.fields

SQL = Path(__file__).resolve().parents[1] / "sql"


class Migration(migrations.Migration):
    dependencies = [("ledger", "0005_rollup")]

    operations = [
        migrations.AlterField(
            model_name="rollup",
            name="posted",
            field=config.kit.fields.SumField(decimal_places=0, max_digits=38),
        ),
        migrations.RunSQL(
            (SQL / "0006_sums.sql").read_text(),
            (SQL / "0006_sums.reverse.sql").read_text(),
        ),
    ]
