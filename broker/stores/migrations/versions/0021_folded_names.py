"""Names of provisioned people and groups are compared by their folded normal form."""

import unicodedata

import sqlalchemy as sa
from alembic import op

revision = "0021"
down_revision = "0020"

_KEYS = (
    ("provisioned_users", "user_id", "user_name", "name_key"),
    ("provisioned_users", "user_id", "email", "email"),
    ("provisioned_groups", "group_id", "name", "name_key"),
)


def upgrade() -> None:
    """Write the keys of names that are not ASCII anew.

    One that is another's then, or has a character that folds into ASCII, keeps the
    name as it is for its key, which no comparison yields.
    """
    for table, id_, name, key in _KEYS:
        names = dict.fromkeys(("account", "provider_id", id_, name, key))
        columns = sa.table(table, *map(sa.column, names))
        rows = op.get_bind().execute(sa.select(columns)).mappings().all()
        taken = {(row["account"], row["provider_id"], row[key]) for row in rows}
        for row in rows:
            text = row[name]
            if text.isascii():
                continue
            folded = _fold(text)
            place = (row["account"], row["provider_id"], folded)
            if key == "name_key" and (
                _folds_into_ascii(text) or (place in taken and folded != row[key])
            ):
                folded = text
            if folded != row[key]:
                taken.add((row["account"], row["provider_id"], folded))
                op.get_bind().execute(
                    sa.update(columns)
                    .where(columns.c[id_] == row[id_])
                    .values({key: folded})
                )


def _fold(name: str) -> str:
    return unicodedata.normalize("NFC", name).casefold()


def _folds_into_ascii(name: str) -> bool:
    return any(not each.isascii() and _fold(each).isascii() for each in name)
