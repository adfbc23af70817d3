"""Which inputs of a dataset are the same or nearly so, in memory that hardly grows with it."""
