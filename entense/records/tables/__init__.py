"""Tables about records: as files, their types, and how they are joined."""
