from npy_tables import computed, plan, records  # noqa: F401  fixtures
