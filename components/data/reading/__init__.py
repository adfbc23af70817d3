"""Reads a dataset line by line: the fast check, the careful one, and what they find."""
