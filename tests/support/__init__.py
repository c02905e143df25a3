"""What several test folders share: real servers, started and stopped."""
