"""The chain of checkpoints, and runs of the invariants over what is new."""

from pathlib import Path

from django.db import migrations, models

SQL = Path(__file__).resolve().parents[1] / "sql"


class Migration(migrations.Migration):
    dependencies = [("ledger", "0008_open_hold")]

    operations = [
        migrations.CreateModel(
            name="Checkpoint",
            fields=[
                ("number", models.BigIntegerField(primary_key=True, serialize=False)),
                ("upto", models.BigIntegerField(help_text="the last entry that it covers")),
                ("body", models.TextField(help_text="counts, sums and digest, byte by byte as they were hashed")),
                ("hash", models.BinaryField(help_text="of the hash before and the body", max_length=32)),
                ("created_at", models.DateTimeField()),
            ],
        ),
        migrations.AddField(
            model_name="verification",
            name="upto",
            field=models.BigIntegerField(help_text="the last entry; null: everything", null=True),
        ),
        migrations.AddField(
            model_name="verification",
            name="ids_upto",
            field=models.UUIDField(help_text="the same for requests and holds", null=True),
        ),
        migrations.RunSQL(
            (SQL / "0009_checkpoint.sql").read_text(),
            (SQL / "0009_checkpoint.reverse.sql").read_text(),
        ),
    ]
