"""What commands write to a terminal."""
