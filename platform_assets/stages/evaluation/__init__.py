"""The stage that evaluates a model version: the question, the subject, the tables it writes."""
