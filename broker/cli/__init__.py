"""The command line: one module per command."""

import gc

# Imported modules stay for good, and collecting garbage among them took a tenth of a
# command's start. A worker sets its own threshold once it has started.
gc.set_threshold(500_000, 20, 20)
