"""From files to records: roles, which files fill them, and what their sidecars say."""
