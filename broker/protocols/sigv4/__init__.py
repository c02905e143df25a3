"""AWS Signature Version 4 from the server's side."""
