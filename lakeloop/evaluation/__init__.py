"""What is found about a model version on rows that it never saw, and what follows from it: findings, model checks, the decision."""
