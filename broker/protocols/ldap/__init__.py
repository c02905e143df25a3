"""LDAP, as far as a sign-in needs it: filters, entries and what they say of accounts.

Source: RFC 4511 to 4519; draft-behera-ldap-password-policy; [MS-ADTS].
"""
