"""The same plan in other processes, on this machine or on a cluster: to the same bytes."""
