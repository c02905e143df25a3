"""Logins of terminals: consent in the browser, codes and tokens for the command line."""
