"""One more event on which the assistant speaks: nobody can pay just now."""

from django.db import migrations, models

EVENTS = ("authorization_required", "insufficient_funds", "model_unavailable")


class Migration(migrations.Migration):
    dependencies = [("paywalls", "0003_notify")]

    operations = [
        migrations.AlterField(
            "messagetemplate",
            "event",
            models.CharField(
                choices=[
                    ("authorization_required", "Authorization Required"),
                    ("insufficient_funds", "Insufficient Funds"),
                    ("model_unavailable", "Model Unavailable"),
                    ("payments_unavailable", "Payments Unavailable"),
                ],
                max_length=32,
            ),
        ),
        migrations.RemoveConstraint("messagetemplate", "message_event_known"),
        migrations.AddConstraint(
            "messagetemplate",
            models.CheckConstraint(
                condition=models.Q(event__in=[*EVENTS, "payments_unavailable"]),
                name="message_event_known",
            ),
        ),
    ]
