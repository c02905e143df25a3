"""``broker demo``: an installation to try out, with an identity provider of its own.

`idp` signs people in with what `saml_signer` and `oidc_signer` sign; `seed` puts in who
and what there is. The broker beside it is the real one, and trusts it as any other.
"""
