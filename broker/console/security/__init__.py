"""*My security credentials*: one's own password, keys, devices, and what else there is.

Each change is the IAM action of its name, in the person's own name, so policies with
``${aws:username}`` decide here as they do for the API.
"""
