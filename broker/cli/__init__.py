"""The command line: one module per command."""

import gc

# Imported modules stay for good, and collecting garbage among them took a tenth of a
# command's start. Requests rarely allocate enough to need the default threshold.
gc.set_threshold(10_000, 20, 20)
