"""What to run: the templates' parameters, and requests from options, files or REST bodies."""
