"""Random tables with hostile values, written by other writers, drafted, landed and read back: equal, quarantined with a reason, or refused."""
