"""Temporary credentials: what they hold, how they are sealed, when they end.

The mint is `issue` (and `issue_upstream`): what it makes is sealed by `seal`, found again
by `resolve`, ended by `revoke`; `lineage` says what a session inherits and what ends it
together with others, `ends` are the marks that hold even if a cache forgets. `keyring`
and `keys` are the keys of it all, `vault` what the database keeps sealed. `oauth` and
`portal` are the codes and tokens of clients and terminals.

Who may have a session is decided before, by `broker.permit`; where its record is kept is
for `broker.stores`.
"""
