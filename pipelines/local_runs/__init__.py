"""Runs on this machine: their folders, their tasks, what a person sees of them."""
