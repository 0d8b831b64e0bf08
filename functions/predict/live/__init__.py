"""What is asked of a model while it serves: counted in blocks, off the way of the requests, and no row is kept."""
