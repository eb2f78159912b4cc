"""The bookstore's mediators: the front door, and those that know the steps of an order."""
