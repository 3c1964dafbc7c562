"""The HTTP face: v1 for the SDKs and servers, v2 for management, hooks for stores, and the operator's own pages' data."""
