from npy_tables import plan, records  # noqa: F401  fixtures
