"""The demo: the bookstore's events, the known answers, and the picture."""
