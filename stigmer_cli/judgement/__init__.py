"""What an execution is called, why, and the way out: pure judgements of its row and of what Temporal says about it."""
