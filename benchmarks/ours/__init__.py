"""The same work done by `hybrid`: a module for each floor, printing one JSON line with the same fields."""
