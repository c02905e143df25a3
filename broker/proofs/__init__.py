"""Who calls: a module for each scheme of proof, and what it needs of others.

A `scheme` turns what a request shows into a caller or a federated identity: `sigv4`,
`saml`, `web_identity`, `certificates`, `instances`, `bearer_tokens`, `portal`, and `ldap`
with `directory_passwords`. Providers' metadata and keys, directories and upstreams are
asked from here, and only through `outbound`; `diagnosis` and `proof_dry_run` explain a
refusal to the provider's administrator.

The formats are those of `broker.protocols`, where nothing is fetched; what a proven
identity may do is for `broker.permit`, what it gets for `broker.sessions`.
"""
