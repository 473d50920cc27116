"""What a person at a terminal sees: the command line, and what it prints."""
