"""The training loop, checkpoints, run folders, and what a run was computed with."""
