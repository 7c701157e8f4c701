"""All definitions of a project together: files, lineage, personal columns. `lakeloop.checking` finds their errors."""
