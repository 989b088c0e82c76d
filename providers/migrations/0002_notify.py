"""Announces changes of connections and models on the channel `paywalls_config`."""

from pathlib import Path

from django.db import migrations

SQL = Path(__file__).resolve().parents[1] / "sql"


class Migration(migrations.Migration):
    dependencies = [("providers", "0001_initial"), ("paywalls", "0003_notify")]

    operations = [
        migrations.RunSQL(
            (SQL / "0002_notify.sql").read_text(), (SQL / "0002_notify.reverse.sql").read_text()
        ),
    ]
