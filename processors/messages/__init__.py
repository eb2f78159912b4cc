"""The bookstore's messages, one file per noun: the only modules that processors and mediators share."""
