"""The verbs of the catalog, by its nouns. Each write makes every rendered document of the project out of date (`touch`)."""
