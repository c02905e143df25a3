"""Command-line logins: consent in the browser, then codes and tokens."""
