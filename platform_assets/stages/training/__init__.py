"""From a training set to a registered model: training set, study, model."""
