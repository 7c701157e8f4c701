"""Rollouts: what guards, paired losses and the clock say about a new version beside the champion, and what follows. Values in, values out."""
