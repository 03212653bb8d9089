"""What changed between the rows that a version was trained on and those that it is asked, and what it costs."""
