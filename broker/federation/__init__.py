"""Federation with identity providers: SAML assertions and web identity tokens."""
