"""Redis: connection, users, published versions, hidden items, feedback."""
