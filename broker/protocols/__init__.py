"""The specifications that the broker speaks; pure, and each stands alone.

`query` and `json_api` are AWS's protocols, by the shapes of `shapes`; `sigv4`, `saml`,
`oidc`, `x509`, `ldap`, `webauthn` and `totp` are proofs; `enforcement` is how services
ask for decisions, `scim` how directories provision. Octets and a time come in, values or
a named refusal go out: no I/O, no clock, no randomness.

Whose keys count, and what follows from a refusal, is for `broker.proofs`.
"""
