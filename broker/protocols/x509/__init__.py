"""X.509 certificates as proof: chains, revocation lists, what a certificate says.

The path is validated by ``cryptography``'s verifier; here stand IAM Roles Anywhere's own
rules for it, and the check against revocation lists, which the verifier does not have.

Source: RFC 5280; IAM Roles Anywhere User Guide, "Trust model" and "Authentication".
"""
