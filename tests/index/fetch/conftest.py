from serving import kept, site  # noqa: F401  fixtures
