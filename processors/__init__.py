"""The bookstore's processors, one file each.

They know the messages, the database and the mailbox; they know no mediator and no other processor.
"""
