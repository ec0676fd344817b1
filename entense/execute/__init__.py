"""From a program to arrays: decode and compute, in this process or in Pydra's."""
