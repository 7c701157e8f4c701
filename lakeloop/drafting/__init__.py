"""Definitions proposed from data: profiles of rows, and the files that a person edits afterwards."""
