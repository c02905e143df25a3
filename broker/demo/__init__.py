"""The demonstration: an identity provider of our own and what it is seeded with."""
