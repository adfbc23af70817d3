"""What a model is, and what this project can do with one; every stage may read it."""
