"""Many models: from a plan to results, and from results to at most one pull request a model, ever."""
