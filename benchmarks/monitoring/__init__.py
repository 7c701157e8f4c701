"""Simulations of what production is judged by: how often nothing raises an alarm or ends a rollout, and how soon something does."""
