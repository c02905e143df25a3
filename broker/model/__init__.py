"""The nouns that all rooms share: frozen records, no behaviour beyond their validity.

What exists (`entities`, `machines`, `upstream`), who calls (`session`, `request`), what a
call was (`audit`). No I/O, no clock: the rules are those of `broker.kinds`.
"""
