"""What lies on disk: one file for each format, which alone reads, checks and writes it."""
