"""What the runtime role may do: everything with configuration, only reading with money.

Money is written by SECURITY DEFINER functions that belong to the owner. Run after every migration,
so that new tables are covered; nothing happens where the role does not exist (one-role set-ups).
"""

from typing import Any, Final

from django.db import connection, transaction
from psycopg import sql

RUNTIME_ROLE: Final = "paywalls_app"
READ_ONLY: Final = (
    "billing_bank_batch",
    "billing_charge",
    "billing_clearing",
    "billing_daily",
    "billing_deposit_answer",
    "billing_idempotency",
    "billing_paywallday",
    "billing_ranking",
    "billing_request",
    "billing_rollup",
    "billing_withdrawal",
    "billing_writeoff",
    "django_migrations",
    "ledger_account",
    "ledger_checkpoint",
    "ledger_counter",
    "ledger_entry",
    "ledger_hold",
    "ledger_lot",
    "ledger_rollup",
    "ledger_sweep",
    "ledger_transaction",
)
CALLED: Final = (
    "billing_balance",
    "billing_bank_batch",
    "billing_charge_many",
    "billing_charge_one",
    "billing_claw",
    "billing_clear",
    "billing_closed",
    "billing_credit",
    "billing_credit_line",
    "billing_deliveries_claim",
    "billing_deliveries_due",
    "billing_delivery_record",
    "billing_earnings",
    "billing_event_partitions",
    "billing_events_blocked",
    "billing_events_put",
    "billing_grants_spent",
    "billing_low_watch",
    "billing_parties",
    "billing_partitions_ensure",
    "billing_person_credit",
    "billing_person_reverse",
    "billing_rank",
    "billing_reap",
    "billing_refund",
    "billing_reserve_many",
    "billing_reserve_one",
    "billing_revenue",
    "billing_roll_up",
    "billing_settle_many",
    "billing_settle_one",
    "billing_shared_charge_many",
    "billing_shared_charge_one",
    "billing_shared_connect",
    "billing_shared_reserve_many",
    "billing_shared_reserve_one",
    "billing_shared_settle_many",
    "billing_shared_settle_one",
    "billing_shared_user",
    "billing_take_back",
    "billing_user",
    "billing_uuid_floor",
    "billing_withdraw",
    "billing_withdrawal_claim",
    "billing_withdrawal_move",
    "billing_withdrawal_nudge",
    "ledger_checkpoint_add",
    "ledger_lots_expire",
    "ledger_now",
    "ledger_renew",
    "ledger_roll_up",
    "ledger_total",
)
"""All functions that the product itself calls; the others work inside these."""

GRANTS: Final = """
    GRANT USAGE ON SCHEMA public TO paywalls_app;
    GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA public TO paywalls_app;
    GRANT USAGE, SELECT ON ALL SEQUENCES IN SCHEMA public TO paywalls_app;
    REVOKE EXECUTE ON ALL FUNCTIONS IN SCHEMA public FROM PUBLIC, paywalls_app;
"""


FUNCTIONS: Final = """
    SELECT oid::regprocedure::text FROM pg_proc
    WHERE pronamespace = 'public'::regnamespace AND proname = ANY (%s)
"""
PARTITIONS: Final = """
    SELECT inhrelid::regclass::text FROM pg_inherits
    WHERE inhparent = to_regclass('billing_request')
"""


def grant_runtime(**_: Any) -> None:
    """Grants and revokes for the runtime role, at once. Connected to post_migrate."""
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute("SELECT count(*) FROM pg_roles WHERE rolname = %s", [RUNTIME_ROLE])
        row = cursor.fetchone()
        if row is None or row[0] == 0:
            return
        cursor.execute("SELECT current_user")
        row = cursor.fetchone()
        if row is None or row[0] == RUNTIME_ROLE:
            return
        cursor.execute(GRANTS)
        cursor.execute(FUNCTIONS, [list(CALLED)])
        if functions := ", ".join(name for (name,) in cursor.fetchall()):
            cursor.execute(f"GRANT EXECUTE ON FUNCTION {functions} TO {RUNTIME_ROLE}")
        existing = set(connection.introspection.table_names(cursor))
        cursor.execute(PARTITIONS)
        for table in [*READ_ONLY, *(name for (name,) in cursor.fetchall())]:
            if table in existing:
                cursor.execute(
                    sql.SQL("REVOKE INSERT, UPDATE, DELETE ON {} FROM {}").format(
                        sql.Identifier(table), sql.Identifier(RUNTIME_ROLE)
                    )
                )
