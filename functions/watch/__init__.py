"""Is the model still right? What callers ask against what training saw, what labels say against what was promised."""
