"""HTTP: bodies as they arrive, answers as they leave."""
