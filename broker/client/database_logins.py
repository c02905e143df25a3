"""Removed in 0.2, which still says so: units and scripts run it by this name."""

raise SystemExit(
    "broker.client.database_logins is a sample now: copy"
    " samples/protected/postgresql/database_logins.py beside the database and run it."
)
