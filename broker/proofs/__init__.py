"""Authenticates callers: a module for each scheme of proof, and what it needs of others.

Providers' metadata and keys, directories, and upstreams are asked from here.
"""
