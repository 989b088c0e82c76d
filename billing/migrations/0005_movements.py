"""Money that moves outside a chat."""

from pathlib import Path

from django.db import migrations

SQL = Path(__file__).resolve().parents[1] / "sql"


class Migration(migrations.Migration):
    dependencies = [("billing", "0004_settle")]

    operations = [
        migrations.RunSQL(
            (SQL / "0005_movements.sql").read_text(),
            (SQL / "0005_movements.reverse.sql").read_text(),
        ),
    ]
