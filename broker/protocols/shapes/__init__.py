"""Service models, and what all protocols that are compiled from them share.

``model`` is the form of a model, ``constraints`` what its shapes ask of values,
``violations`` gathers what breaks them, ``members`` reads structures. How values stand
on the wire is for each protocol.
"""
