"""A rehearsal of the delivery's whole life against a server that answers and refuses as Google does."""
