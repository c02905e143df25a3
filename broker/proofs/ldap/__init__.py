"""Asks corporate directories: LDAP servers, Active Directory's among them."""
