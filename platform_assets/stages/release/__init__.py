"""What follows from an evaluation: release, batch predictions, deployment."""
