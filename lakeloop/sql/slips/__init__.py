"""Slips of the keyboard in SQL that its parser takes: what is told of them, and the names of functions that exist."""
