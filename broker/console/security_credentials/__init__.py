"""*My security credentials*: the user's own password, keys and MFA devices.

Each change is an IAM action performed as the user, so policies with
``${aws:username}`` apply here as they do at the API.
"""
