"""What hand-written code on redis-py reaches with the same work: no product, no guarantees, only the bar."""
