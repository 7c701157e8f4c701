"""Claims of docs/design/0008-trust.md, measured against worlds whose truth is known: `python -m benchmarks.truth NAME`."""
