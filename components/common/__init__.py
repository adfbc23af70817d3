"""What every component shares: errors, storage, reports. Knows nothing of any stage."""
