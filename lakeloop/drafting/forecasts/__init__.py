"""Drafts of forecasting workflows: what a history shows, what follows from it, and the files."""
