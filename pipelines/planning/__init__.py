"""What ``plan`` finds and reckons on every platform."""
