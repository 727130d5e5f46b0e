"""What several rungs of tests share."""
