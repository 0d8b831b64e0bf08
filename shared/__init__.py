"""What the functions share: the contracts, the bucket and the serving runtime. Imports no function."""
