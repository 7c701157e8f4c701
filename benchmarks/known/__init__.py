"""When a value of a view was known: random worlds on the platform against the definition, computed by brute force."""
