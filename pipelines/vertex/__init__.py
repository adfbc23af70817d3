"""Pipeline jobs, schedules and models on Vertex AI: what the commands send and read."""
