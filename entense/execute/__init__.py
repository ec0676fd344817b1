"""From a program to arrays: decode, compute, in one process."""
