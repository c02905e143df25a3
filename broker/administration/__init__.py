"""The console's pages for administrators of an account: each acts through IAM's actions."""
