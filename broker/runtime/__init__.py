"""What every room may use of the process, and what bounds its work and memory.

`clock` and `entropy` are the only readers of time and randomness; `offload` runs what is
long and begins what lasts, `shares` measures and charges work, `batches` lets calls take
costly steps together, `bounded` is the one kind of cache. Nothing of the broker's subject.
"""
