"""What every room may use of the process: time, randomness, threads, batches, bounded memory."""
