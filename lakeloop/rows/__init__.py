"""Rows typed, deduplicated, kept in history and joined as they were known. Arrow and Polars only; where rows are stored isn't known here."""
