"""The verbs of what customers hold, by what they are about: recording, whose it is, moving, granting, looking up."""
