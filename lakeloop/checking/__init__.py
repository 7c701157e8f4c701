"""Checks of definitions before anything runs; errors name file, line and key."""
