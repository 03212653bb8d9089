"""What the platform keeps to judge a served model later: the rows that it learned from, and what it answered."""
