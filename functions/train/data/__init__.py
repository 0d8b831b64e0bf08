"""From the table to matrices: which rows are held out, and how columns are preprocessed."""
