"""The verbs of telling, by what they are about: the log, deliveries, webhooks, integrations, replays."""
