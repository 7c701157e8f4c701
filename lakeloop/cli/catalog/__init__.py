"""The commands that find and compare things, and the one that answers SQL."""
