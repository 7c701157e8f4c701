"""Speed of what stands in production: predictions."""
