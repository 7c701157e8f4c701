"""SQL as data: what a query reads and gives, how far back it reaches, and what the embedded engine refuses. No query is run here."""
