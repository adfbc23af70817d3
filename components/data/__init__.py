"""Data that every stage knows: rows of a dataset, and how they are written for a model."""
