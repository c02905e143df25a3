"""What outside identity providers prove: SAML assertions and web identity tokens."""
