"""A request against a promoted run: cells read as the model reads them, and its answers. Serving, batches and labels
share it.
"""
