"""The same work done by published frameworks, at their latest version and the fastest settings we found."""
