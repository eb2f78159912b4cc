"""The runtime: a worker reads deliveries, has them handled, and settles them."""
