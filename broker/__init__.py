"""A federation identity broker that speaks AWS's sign-in, STS and IAM protocols.

The packages, in the order a call meets them: ``web`` and ``console`` (the edges),
``pipeline`` (the steps of a call), ``actions`` (what was asked), ``authn`` (who
asks), ``authz`` (may they), ``federation``, ``sessions``, ``identities`` and
``audit`` (the broker's own rules), ``stores`` (state), ``protocols`` and ``policy``
(pure specifications), ``model`` (the nouns). ``app`` puts them together from
``settings``; ``cli`` is the terminal's edge. ``client`` is for other services, ``agent`` for machines: each stands
alone, and nothing here uses them.
"""
