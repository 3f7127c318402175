"""Redis: connection, users, availability, published versions."""
