"""One score: what is published of it, what that changes, and the pull request that proposes it."""
