"""What an account has, and the rules of each kind: users, roles, providers, machines.

A kind's module says how one is made and changed, what it must not be, and how answers
show it; `rules` is the form that they share, `names` and `limits` what all keep to.
Signed calls, pages, templates and commands all come through here, so that each refuses
the same with the same words: errors are the wire's. Functions that change take the open
transaction and the account.

Who may call is for `broker.actions` and `broker.permit`; how a kind is stored, for
`broker.stores.directory`; how an account is written as YAML, for `broker.template`.
"""
