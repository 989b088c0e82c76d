"""Earnings clear and are taken out; the operator's own Stripe key."""

from pathlib import Path

import django.db.models.deletion
import django.db.models.expressions
from django.db import migrations, models

import config.kit.clock
import config.kit.ids

SQL = Path(__file__).resolve().parents[1] / "sql"


class Migration(migrations.Migration):

    dependencies = [
        ('billing', '0024_shared'),
        ('paywalls', '0006_grants'),
    ]

    operations = [
        migrations.CreateModel(
            name='BankBatch',
            fields=[
                ('id', models.UUIDField(editable=False, primary_key=True, serialize=False)),
                ('livemode', models.BooleanField()),
                ('currency', models.CharField(max_length=3)),
                ('actor', models.CharField(max_length=100)),
                ('created_at', models.DateTimeField()),
            ],
            options={
                'verbose_name_plural': 'bank batches',
                'db_table': 'billing_bank_batch',
            },
        ),
        migrations.CreateModel(
            name='PlatformStripe',
            fields=[
                ('id', models.UUIDField(default=config.kit.ids.uuid7, editable=False, primary_key=True, serialize=False)),
                ('livemode', models.BooleanField(unique=True)),
                ('sealed_key', models.BinaryField()),
                ('key_prefix', models.CharField(max_length=8)),
                ('key_last_four', models.CharField(max_length=4)),
                ('path', models.CharField(help_text='unguessable end of the webhook', max_length=43, unique=True)),
                ('endpoint_id', models.CharField(blank=True, help_text='we_…; empty: none yet', max_length=255)),
                ('sealed_secret', models.BinaryField(null=True)),
                ('connect_endpoint_id', models.CharField(blank=True, max_length=255)),
                ('sealed_connect_secret', models.BinaryField(null=True)),
                ('heard_at', models.DateTimeField(help_text='last verified event', null=True)),
                ('created_at', models.DateTimeField(default=config.kit.clock.now, editable=False)),
            ],
            options={
                'verbose_name': 'Stripe key of the platform',
                'verbose_name_plural': 'Stripe keys of the platform',
                'db_table': 'billing_platform_stripe',
            },
        ),
        migrations.CreateModel(
            name='Destination',
            fields=[
                ('id', models.UUIDField(default=config.kit.ids.uuid7, editable=False, primary_key=True, serialize=False)),
                ('livemode', models.BooleanField()),
                ('kind', models.CharField(choices=[('stripe', "a Stripe account, connected to the platform's"), ('bank', 'a bank account, paid by the operator in batches')], max_length=8)),
                ('label', models.CharField(help_text='as people see it: no whole number', max_length=100)),
                ('facts', models.JSONField(default=dict)),
                ('sealed', models.BinaryField(null=True)),
                ('schedule', models.CharField(choices=[('manual', 'when asked for'), ('weekly', 'every Monday, all there is'), ('monthly', 'on the first of the month, all there is')], default='manual', max_length=8)),
                ('trouble', models.CharField(blank=True, help_text='empty: it can be paid to', max_length=200)),
                ('checked_at', models.DateTimeField(null=True)),
                ('is_active', models.BooleanField(default=True)),
                ('created_by', models.CharField(max_length=100)),
                ('created_at', models.DateTimeField(default=config.kit.clock.now, editable=False)),
                ('team', models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, related_name='destinations', to='paywalls.team')),
            ],
            options={
                'db_table': 'billing_destination',
            },
        ),
        migrations.CreateModel(
            name='PayoutTerms',
            fields=[
                ('id', models.BigAutoField(primary_key=True, serialize=False)),
                ('clearing_days', models.PositiveSmallIntegerField(default=7, help_text='earnings clear so many whole days after the charge; 0: at once')),
                ('reserve_bps', models.PositiveSmallIntegerField(default=0, help_text='part of what clears that stays for reserve_days, in 1/100 percent')),
                ('reserve_days', models.PositiveSmallIntegerField(default=0)),
                ('minimum_nanos', models.BigIntegerField(default=10000000000)),
                ('fee_nanos', models.BigIntegerField(default=0, help_text='of each withdrawal')),
                ('fee_bps', models.PositiveSmallIntegerField(default=0, help_text='of the amount, 1/100 percent')),
                ('approval_above_nanos', models.BigIntegerField(default=1000000000000, help_text='more than this needs a second person')),
                ('destination_delay_hours', models.PositiveSmallIntegerField(default=72, help_text='nothing is paid to a new destination before')),
                ('actor', models.CharField(max_length=100)),
                ('created_at', models.DateTimeField(default=config.kit.clock.now, editable=False)),
            ],
            options={
                'verbose_name_plural': 'payout terms',
                'db_table': 'billing_payout_terms',
                'constraints': [models.CheckConstraint(condition=models.Q(('fee_bps__lt', 10000), ('reserve_bps__lte', 10000), ('approval_above_nanos__gte', 0), ('fee_nanos__gte', 0), ('minimum_nanos__gte', 0)), name='payout_terms_bounds')],
            },
        ),
        migrations.CreateModel(
            name='Clearing',
            fields=[
                ('pk', models.CompositePrimaryKey('account_id', 'number', blank=True, editable=False, primary_key=True, serialize=False)),
                ('account_id', models.UUIDField(help_text='of the kind earnings_pending')),
                ('number', models.IntegerField()),
                ('upto', models.BigIntegerField()),
                ('nanos', models.BigIntegerField()),
                ('transaction_id', models.UUIDField(null=True, unique=True)),
                ('created_at', models.DateTimeField()),
                ('terms', models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, related_name='+', to='billing.payoutterms')),
            ],
            options={
                'db_table': 'billing_clearing',
            },
        ),
        migrations.CreateModel(
            name='Withdrawal',
            fields=[
                ('id', models.UUIDField(editable=False, primary_key=True, serialize=False)),
                ('livemode', models.BooleanField()),
                ('currency', models.CharField(max_length=3)),
                ('amount', models.BigIntegerField()),
                ('fee', models.BigIntegerField()),
                ('net', models.BigIntegerField()),
                ('reserve', models.BigIntegerField(help_text='what had to stay when it was requested')),
                ('state', models.CharField(choices=[('requested', 'requested: waits for a second person'), ('approved', 'approved: waits for its time'), ('sent', 'sent: on its way'), ('paid', 'paid'), ('failed', 'failed: the money is back'), ('cancelled', 'cancelled: the money is back')], max_length=9)),
                ('key', models.CharField(help_text='Idempotency-Key, good for ever', max_length=255, null=True)),
                ('fingerprint', models.BinaryField(max_length=32, null=True)),
                ('requested_by', models.CharField(max_length=100)),
                ('approved_by', models.CharField(blank=True, help_text='empty: none was needed', max_length=100)),
                ('ended_by', models.CharField(blank=True, max_length=100)),
                ('reason', models.CharField(blank=True, max_length=300)),
                ('facts', models.JSONField(default=dict, help_text="ids at the payer's side")),
                ('tries', models.PositiveSmallIntegerField(default=0)),
                ('pay_after', models.DateTimeField(help_text='a new destination delays')),
                ('next_at', models.DateTimeField(help_text='when it is looked at next', null=True)),
                ('transaction_id', models.UUIDField(help_text='out of the earnings', unique=True)),
                ('paid_transaction_id', models.UUIDField(null=True, unique=True)),
                ('back_transaction_id', models.UUIDField(null=True, unique=True)),
                ('requested_at', models.DateTimeField()),
                ('approved_at', models.DateTimeField(null=True)),
                ('sent_at', models.DateTimeField(null=True)),
                ('paid_at', models.DateTimeField(null=True)),
                ('failed_at', models.DateTimeField(null=True)),
                ('cancelled_at', models.DateTimeField(null=True)),
                ('batch', models.ForeignKey(null=True, on_delete=django.db.models.deletion.PROTECT, related_name='withdrawals', to='billing.bankbatch')),
                ('destination', models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, related_name='withdrawals', to='billing.destination')),
                ('team', models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, related_name='withdrawals', to='paywalls.team')),
            ],
            options={
                'db_table': 'billing_withdrawal',
            },
        ),
        migrations.AddConstraint(
            model_name='destination',
            constraint=models.UniqueConstraint(condition=models.Q(('is_active', True)), fields=('team', 'livemode'), name='destination_active_once'),
        ),
        migrations.AddConstraint(
            model_name='destination',
            constraint=models.CheckConstraint(condition=models.Q(('kind', 'stripe'), models.Q(('kind', 'bank'), ('sealed__isnull', False)), _connector='OR'), name='destination_kind_known'),
        ),
        migrations.AddIndex(
            model_name='clearing',
            index=models.Index(fields=['account_id', 'created_at'], name='clearing_recent'),
        ),
        migrations.AddIndex(
            model_name='withdrawal',
            index=models.Index(fields=['team', 'livemode', '-id'], name='withdrawal_of_team'),
        ),
        migrations.AddIndex(
            model_name='withdrawal',
            index=models.Index(condition=models.Q(('next_at__isnull', False)), fields=['next_at'], name='withdrawal_due'),
        ),
        migrations.AddConstraint(
            model_name='withdrawal',
            constraint=models.UniqueConstraint(fields=('team', 'livemode', 'key'), name='withdrawal_once'),
        ),
        migrations.AddConstraint(
            model_name='withdrawal',
            constraint=models.CheckConstraint(condition=models.Q(('amount', django.db.models.expressions.CombinedExpression(models.F('net'), '+', models.F('fee'))), ('fee__gte', 0), ('net__gt', 0), ('reserve__gte', 0)), name='withdrawal_amounts'),
        ),
        migrations.AddConstraint(
            model_name='withdrawal',
            constraint=models.CheckConstraint(condition=models.Q(models.Q(('approved_at', None), ('paid_at', None), ('sent_at', None), ('state', 'requested'), ('cancelled_at', None), ('failed_at', None)), models.Q(('approved_at__isnull', False), ('paid_at', None), ('sent_at', None), ('state', 'approved'), ('cancelled_at', None), ('failed_at', None)), models.Q(('approved_at__isnull', False), ('paid_at', None), ('sent_at__isnull', False), ('state', 'sent'), ('cancelled_at', None), ('failed_at', None)), models.Q(('paid_at__isnull', False), ('sent_at__isnull', False), ('state', 'paid'), ('cancelled_at', None), ('failed_at', None), ('paid_transaction_id__isnull', False)), models.Q(('cancelled_at', None), ('failed_at__isnull', False), ('state', 'failed'), ('back_transaction_id__isnull', False)), models.Q(('cancelled_at__isnull', False), ('sent_at', None), ('state', 'cancelled'), ('back_transaction_id__isnull', False), ('failed_at', None)), _connector='OR'), name='withdrawal_state'),
        ),
        migrations.RunSQL(
            (SQL / "0025_withdrawals.sql").read_text(),
            (SQL / "0025_withdrawals.reverse.sql").read_text(),
        ),
    ]
