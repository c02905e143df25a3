"""SAML 2.0: verifies a Response against its provider's registered metadata.

In the order a Response meets them: `decode` (base64 to text), `gate` (one parse,
bounds, no DOCTYPE), `response` (the envelope), `decryption`, `signature` (see what
is signed), then from the signed element alone `subject`, `conditions` and
`attributes`. `verify` runs them; only it makes a `VerifiedAssertion`. `metadata`
reads the provider's side, `sp_metadata` writes ours. No AWS rule lives here but the
names and the grammar of the AWS attributes (`attributes`).
"""
