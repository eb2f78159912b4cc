"""What `hybrid flows` is made of: which flows, what is done with them, and how they look."""
