"""This machine: processes and servers, memory, Dagster's home and web server, the guard of local ports."""
