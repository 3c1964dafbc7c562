"""The verbs of intake, by what they are about: the inbox, receipts, questions to stores, acts at stores, catching up after an outage."""
