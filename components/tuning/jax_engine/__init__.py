"""The engine that computes with JAX on TPUs; its libraries are in an environment of their own."""
