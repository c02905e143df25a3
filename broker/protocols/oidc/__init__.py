"""OpenID Connect ID tokens, discovery documents and key sets."""
