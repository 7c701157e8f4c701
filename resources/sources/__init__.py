"""One reader per kind of source, used by drafts and landings alike. Values are read as they are."""
