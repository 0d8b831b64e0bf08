"""What the service says of itself: its model, its schema, its API."""
