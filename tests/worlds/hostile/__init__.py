"""Models that would run somebody else's code when they are loaded, and honest ones beside them."""
