"""What the program makes, one noun a file."""
