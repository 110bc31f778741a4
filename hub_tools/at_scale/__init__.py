"""Ten thousand models: a plan cut into shards, scored by Hugging Face Jobs, and what that costs."""
