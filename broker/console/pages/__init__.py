"""Pages for every signed-in user: home, sessions, roles, permissions, audit log."""
