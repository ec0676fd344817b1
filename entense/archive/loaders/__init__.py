"""Batches for training: NumPy from an archive or a table, and tf.data."""
