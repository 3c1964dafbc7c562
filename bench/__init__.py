"""`python -m bench`: how fast it is on this machine, each figure beside its ceiling, measured in the same run."""
