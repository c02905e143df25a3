"""SAML 2.0 responses and metadata: see what is signed, read nothing else."""
