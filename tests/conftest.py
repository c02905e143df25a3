"""What holds for every test."""

from hypothesis import settings

# Timings never decide a test: a busy machine is not a bug.
settings.register_profile("broker", deadline=None, print_blob=True)
settings.load_profile("broker")
