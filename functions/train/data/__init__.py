"""Turns a table into matrices: decides which rows are held out, and how columns are preprocessed."""
