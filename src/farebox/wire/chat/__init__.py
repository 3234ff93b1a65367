"""What the four chat dialects have in common, and how one is put into another."""
