"""What ``plan`` looks at and reckons before anything is spent on Vertex AI."""
