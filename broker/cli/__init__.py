"""The command line: one module per command, all of them listed in `commands`.

Commands open the installation themselves, with the broker's settings: `operator` is what
those share, `terminal` the only module that prints. `serve`, `workers` and `worker` run
the service. Commands change accounts by the rules of `broker.kinds`, as calls do.
"""

import gc

# Imported modules stay for good, and collecting garbage among them took a tenth of a
# command's start. Requests rarely allocate enough to need the default threshold.
gc.set_threshold(10_000, 20, 20)
