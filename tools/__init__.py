"""What developers run on the repository itself; none of it is installed."""
