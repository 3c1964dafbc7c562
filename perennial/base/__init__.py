"""The vocabulary of the house, and the only doors to SQL, time and chance.

`value` (the one decorator for frozen values), `ids`, `errors`, `money`, `time`, `db`, `secrets`.
Everything above may import these modules; they import nothing of ours.
"""
