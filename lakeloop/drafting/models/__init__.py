"""What a drafted workflow is fitted with and must reach: pipelines that are tried on the rows, and gates that follow from them."""
