"""Stores of one's own, for sandbox projects: an App Store, a Google Play and a Stripe, and what they share.

They are real, not mocks: tests, sandboxes and the demo run on them. Each signs as its original does, plays lifecycles on the project's clock,
answers the calls the provider makes, and posts through the door real notifications take. What they sign counts in the project that opted in alone.
"""
