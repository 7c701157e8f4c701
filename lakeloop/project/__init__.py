"""All definitions of a project together: files, lineage, personal columns, feature specs. What is wrong with them is in `lakeloop.checking`."""
