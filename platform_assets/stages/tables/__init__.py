"""The stages of a table: raw and validated."""
