"""Makes the database refuse what no program may do."""

from pathlib import Path

from django.db import migrations

SQL = Path(__file__).resolve().parents[1] / "sql"


class Migration(migrations.Migration):
    dependencies = [("paywalls", "0001_initial")]

    operations = [
        migrations.RunSQL(
            (SQL / "0002_guards.sql").read_text(), (SQL / "0002_guards.reverse.sql").read_text()
        ),
    ]
