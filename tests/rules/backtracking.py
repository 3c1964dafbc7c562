"""Counts the steps a backtracking matcher takes: what a pattern costs, without a clock.

The matcher walks the tree that Python's own parser makes of a pattern, and tries what Python's engine tries, in its order. It leaves out the
engine's shortcuts, so its counts are upper bounds.
"""

import re
from collections.abc import Callable, Iterator
from re import _constants as op  # type: ignore[attr-defined]
from re import _parser as parser  # type: ignore[attr-defined]
from typing import Any

Node = tuple[Any, Any]


class TooManyStepsError(Exception):
    """The limit was reached: the pattern is far from linear on this text."""


def steps(pattern: "re.Pattern[Any]", method: str, text: str, *, limit: int = 10**9) -> int:
    """Taken by `pattern.fullmatch(text)`, `match`, `search`, or one that looks for all matches (`sub`, `split`, `findall`, `finditer`)."""
    walk, whole = _Walk(text, pattern.flags, limit), method == "fullmatch"
    tree = list(parser.parse(pattern.pattern if isinstance(pattern.pattern, str) else pattern.pattern.decode("latin-1"), pattern.flags))
    start = 0
    while start <= len(text):
        end = next((end for end in walk.sequence(tree, start) if not whole or end == len(text)), None)
        if method in ("fullmatch", "match") or (method == "search" and end is not None):
            break
        start = max(end, start + 1) if end is not None else start + 1
    return walk.taken


class _Walk:
    def __init__(self, text: str, flags: int, limit: int) -> None:
        self.text, self.flags, self.limit, self.taken = text, flags, limit, 0
        self.groups: dict[int, str] = {}
        self._kept: dict[int, Callable[[str], bool]] = {}

    def step(self) -> None:
        self.taken += 1
        if self.taken > self.limit:
            raise TooManyStepsError

    def sequence(self, nodes: list[Node], at: int) -> Iterator[int]:
        if not nodes:
            yield at
            return
        for end in self.node(nodes[0], at):
            yield from self.sequence(nodes[1:], end)

    def node(self, node: Node, at: int) -> Iterator[int]:
        self.step()
        kind, value = node
        if kind in (op.MAX_REPEAT, op.MIN_REPEAT, op.POSSESSIVE_REPEAT):
            yield from self._repeat(kind, *value, at)
        elif kind is op.BRANCH:
            for branch in value[1]:
                yield from self.sequence(list(branch), at)
        elif kind is op.SUBPATTERN:
            for end in self.sequence(list(value[3]), at):
                self.groups[value[0]] = self.text[at:end]
                yield end
        elif kind is op.ATOMIC_GROUP:
            yield from list(self.sequence(list(value), at))[:1]
        elif kind in (op.ASSERT, op.ASSERT_NOT):
            if self._holds(value, at) == (kind is op.ASSERT):
                yield at
        elif kind is op.AT:
            if self._stands(value, at):
                yield at
        elif at < len(self.text) and self.one(node)(self.text[at]):
            yield at + 1

    def _repeat(self, kind: Any, least: int, most: int, body: Any, at: int) -> Iterator[int]:
        nodes, ends = list(body), [at]
        if len(nodes) == 1 and nodes[0][0] in (op.LITERAL, op.NOT_LITERAL, op.IN, op.ANY):
            fits = self.one(nodes[0])
            while len(ends) <= most and ends[-1] < len(self.text) and fits(self.text[ends[-1]]):
                self.step()
                ends.append(ends[-1] + 1)
            found = ends[least:]
            for end in found[-1:] if kind is op.POSSESSIVE_REPEAT else reversed(found) if kind is op.MAX_REPEAT else found:
                self.step()
                yield end
            return
        yield from self._repeat_of_many(nodes, least, most, at)

    def _repeat_of_many(self, nodes: list[Node], least: int, most: int, at: int) -> Iterator[int]:
        if most > 0:
            for end in self.sequence(nodes, at):
                if end > at:
                    yield from self._repeat_of_many(nodes, max(0, least - 1), most - 1 if most is not op.MAXREPEAT else most, end)
        if least == 0:
            self.step()
            yield at

    def _holds(self, value: Any, at: int) -> bool:
        direction, nodes = value
        if direction > 0:
            return next(self.sequence(list(nodes), at), None) is not None
        return any(at in self.sequence(list(nodes), start) for start in range(max(0, at - 3), at + 1))

    def _stands(self, where: Any, at: int) -> bool:
        match where:
            case op.AT_BEGINNING | op.AT_BEGINNING_STRING:
                return at == 0 or (bool(self.flags & re.MULTILINE) and self.text[at - 1] == "\n")
            case op.AT_END:
                return at == len(self.text) or self.text[at:] == "\n" or (bool(self.flags & re.MULTILINE) and self.text[at] == "\n")
            case op.AT_END_STRING:
                return at == len(self.text)
        raise NotImplementedError(where)

    def one(self, node: Node) -> Callable[[str], bool]:
        """Whether one character fits."""
        if id(node) not in self._kept:
            self._kept[id(node)] = self._one(node)
        return self._kept[id(node)]

    def _one(self, node: Node) -> Callable[[str], bool]:
        kind, value = node
        if kind is op.ANY:
            return lambda character: bool(self.flags & re.DOTALL) or character != "\n"
        parts = [node] if kind is not op.IN else list(value)
        negated = parts[0][0] is op.NEGATE
        fits = [self._part(part) for part in parts if part[0] is not op.NEGATE]
        return lambda character: any(fit(character) for fit in fits) != negated

    def _part(self, part: Node) -> Callable[[str], bool]:
        kind, value = part
        folded = bool(self.flags & re.IGNORECASE)
        match kind:
            case op.LITERAL:
                return lambda character: ord(character) == value or (folded and character.lower() == chr(value).lower())
            case op.NOT_LITERAL:
                return lambda character: ord(character) != value
            case op.RANGE:
                return lambda character: any(
                    value[0] <= ord(one) <= value[1] for one in ({character, character.swapcase()} if folded else {character})
                )
            case op.CATEGORY:
                looks = re.compile({op.CATEGORY_DIGIT: r"\d", op.CATEGORY_SPACE: r"\s", op.CATEGORY_WORD: r"\w"}[value])
                return lambda character: looks.match(character) is not None
        raise NotImplementedError(kind)
