"""The stage of a view, its versions, and the lookup of features for a training set, a prediction or a request."""
