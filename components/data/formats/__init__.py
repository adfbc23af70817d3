"""The formats that rows are written in: one module each, and the registry of them all."""
