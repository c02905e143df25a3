"""What everyone who is signed in has: home, sessions, roles, permissions, audit log."""
