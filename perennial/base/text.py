"""What a text from outside may hold where it names somebody or something."""

import unicodedata


def forbidden_in(name: str) -> str | None:
    """What of a name can be no part of one: a control character (Unicode category Cc) or an unpaired surrogate, which has no UTF-8.

    Everything else is allowed: joiners, which emoji and Persian are written with, every kind of space, marks of direction, private characters.
    """
    if name.isprintable():
        return None
    for character in name:
        match unicodedata.category(character):
            case "Cc":
                return f"the control character U+{ord(character):04X}"
            case "Cs":
                return f"the unpaired surrogate U+{ord(character):04X}"
    return None


def storable(text: str) -> str:
    """The text as the database can keep it: NUL and unpaired surrogates become characters that stand for them."""
    return "".join("\u2400" if one == "\x00" else "\ufffd" if unicodedata.category(one) == "Cs" else one for one in text)
