"""Administrators' pages: each acts through the API's actions, as the session.

The account's policies decide what is allowed; a page that is refused says which
permission is missing. The templates are in ``templates/admin``.
"""
