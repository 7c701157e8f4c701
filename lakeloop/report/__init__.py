"""The evaluation report: sections, plots, and the page as one HTML file. It computes no metric."""
