"""What ``plan`` looks at before anything is spent on Vertex AI."""
