"""SQL as data: what a query reads and returns, how far back it reads, and what the embedded engine refuses. No query runs here."""
