"""Administrators' pages: each acts through the actions of the API, as the session.

Who may do what is the account's policies' business; a page that is refused says which
permission is missing. Their templates are those in ``templates/admin``.
"""
