"""What the runtime role may do: everything with configuration, only reading with money.

Money is written by SECURITY DEFINER functions that belong to the owner. Run after every migration,
so that new tables are covered; nothing happens where the role does not exist (one-role set-ups).
"""

from typing import Any, Final

from django.db import connection
from psycopg import sql

RUNTIME_ROLE: Final = "paywalls_app"
READ_ONLY: Final = (
    "billing_charge",
    "billing_daily",
    "billing_idempotency",
    "billing_request",
    "billing_writeoff",
    "django_migrations",
    "ledger_account",
    "ledger_counter",
    "ledger_entry",
    "ledger_hold",
    "ledger_lot",
    "ledger_rollup",
    "ledger_sweep",
    "ledger_transaction",
)
GRANTS: Final = """
    GRANT USAGE ON SCHEMA public TO paywalls_app;
    GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA public TO paywalls_app;
    GRANT USAGE, SELECT ON ALL SEQUENCES IN SCHEMA public TO paywalls_app;
    REVOKE EXECUTE ON ALL FUNCTIONS IN SCHEMA public FROM PUBLIC;
    GRANT EXECUTE ON ALL FUNCTIONS IN SCHEMA public TO paywalls_app;
"""


def grant_runtime(**_: Any) -> None:
    """Grants and revokes for the runtime role. Connected to post_migrate."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT count(*) FROM pg_roles WHERE rolname = %s", [RUNTIME_ROLE])
        row = cursor.fetchone()
        if row is None or row[0] == 0:
            return
        cursor.execute("SELECT current_user")
        row = cursor.fetchone()
        if row is None or row[0] == RUNTIME_ROLE:
            return
        existing = set(connection.introspection.table_names(cursor))
        cursor.execute(GRANTS)
        cursor.execute(
            "SELECT inhrelid::regclass::text FROM pg_inherits"
            " WHERE inhparent = to_regclass('billing_request')"
        )
        partitions = [name for (name,) in cursor.fetchall()]
        for table in [*READ_ONLY, *partitions]:
            if table in existing:
                cursor.execute(
                    sql.SQL("REVOKE INSERT, UPDATE, DELETE ON {} FROM {}").format(
                        sql.Identifier(table), sql.Identifier(RUNTIME_ROLE)
                    )
                )
