"""Top-ups that people pay to the operator."""

from pathlib import Path

import config.kit.clock
import config.kit.ids
import django.db.models.deletion
from django.db import migrations, models

SQL = Path(__file__).resolve().parents[1] / "sql"


class Migration(migrations.Migration):

    dependencies = [
        ('billing', '0025_withdrawals'),
        ('paywalls', '0005_people'),
    ]

    operations = [
        migrations.CreateModel(
            name='PersonOrder',
            fields=[
                ('id', models.UUIDField(default=config.kit.ids.uuid7, editable=False, primary_key=True, serialize=False)),
                ('livemode', models.BooleanField()),
                ('price_minor', models.BigIntegerField()),
                ('currency', models.CharField(help_text='upper case', max_length=3)),
                ('credit_nanos', models.BigIntegerField()),
                ('status', models.CharField(choices=[('open', 'open'), ('pending', 'pending: the bank has not confirmed yet'), ('paid', 'paid'), ('expired', 'expired'), ('failed', 'failed'), ('canceled', 'canceled'), ('quarantined', 'quarantined: differs from what was ordered')], default='open', max_length=12)),
                ('reason', models.CharField(blank=True, help_text='why it is not paid', max_length=300)),
                ('attempt', models.PositiveSmallIntegerField(default=0)),
                ('session_id', models.CharField(help_text='cs_…', max_length=255, null=True, unique=True)),
                ('session_url', models.TextField(blank=True)),
                ('payment_intent_id', models.CharField(blank=True, db_index=True, max_length=255)),
                ('paid_minor', models.BigIntegerField(null=True)),
                ('taken_nanos', models.BigIntegerField(default=0)),
                ('steps', models.PositiveSmallIntegerField(default=0, help_text='bookings of what was taken')),
                ('receipt_url', models.TextField(blank=True)),
                ('transaction_id', models.UUIDField(help_text='of the ledger', null=True, unique=True)),
                ('next_at', models.DateTimeField(null=True)),
                ('created_at', models.DateTimeField(default=config.kit.clock.now, editable=False)),
                ('paid_at', models.DateTimeField(null=True)),
                ('person', models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, related_name='orders', to='paywalls.person')),
            ],
            options={
                'db_table': 'billing_person_order',
                'indexes': [models.Index(fields=['person', '-id'], name='person_order_newest'), models.Index(condition=models.Q(('next_at__isnull', False)), fields=['next_at'], name='person_order_due')],
                'constraints': [models.CheckConstraint(condition=models.Q(('credit_nanos__gt', 0), ('price_minor__gt', 0), ('taken_nanos__gte', 0), ('taken_nanos__lte', models.F('credit_nanos'))), name='person_order_amounts'), models.CheckConstraint(condition=models.Q(models.Q(('status', 'paid'), _negated=True), models.Q(('paid_at__isnull', False), ('session_id__isnull', False), ('transaction_id__isnull', False)), _connector='OR'), name='person_order_paid')],
            },
        ),
        migrations.RunSQL(
            (SQL / "0026_person_orders.sql").read_text(),
            (SQL / "0026_person_orders.reverse.sql").read_text(),
        ),
    ]
