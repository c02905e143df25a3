"""The tables that upgrades start from; no database is made with them any more."""

revision = "0013"
down_revision = None
