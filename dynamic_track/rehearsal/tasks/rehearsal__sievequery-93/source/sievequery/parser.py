"""From tokens to a tree, by recursive descent."""

from sievequery.nodes import And, Compare, Node, Not, Or, Value
from sievequery.tokens import QueryError, Token, tokenize

_KEYWORDS = {"and", "or", "not", "true", "false"}


def parse(text: str) -> Node:
    """The tree of an expression.

    Raises:
        QueryError: the text does not follow the grammar.
    """
    parser = _Parser(text)
    node = parser.disjunction()
    parser.expect("end", "the end")
    return node


class _Parser:
    def __init__(self, text: str) -> None:
        self._tokens = list(tokenize(text))
        self._next = 0

    def disjunction(self) -> Node:
        operands = [self.conjunction()]
        while self._accept("word", "or"):
            operands.append(self.conjunction())
        return operands[0] if len(operands) == 1 else Or(tuple(operands))

    def conjunction(self) -> Node:
        operands = [self.negation()]
        while self._accept("word", "and"):
            operands.append(self.negation())
        return operands[0] if len(operands) == 1 else And(tuple(operands))

    def negation(self) -> Node:
        if self._accept("word", "not"):
            return Not(self.negation())
        if self._accept("paren", "("):
            node = self.disjunction()
            if not self._accept("paren", ")"):
                raise self._error(")")
            return node
        return self.comparison()

    def comparison(self) -> Node:
        field = self.expect("word", "a field")
        if field.text in _KEYWORDS:
            raise QueryError(f"expected a field at {field.position}, found {field.text!r}")
        operator = self.expect("operator", "an operator")
        return Compare(field.text, operator.text, self._value())

    def expect(self, kind: str, meaning: str) -> Token:
        token = self._tokens[self._next]
        if token.kind != kind:
            raise self._error(meaning)
        self._next += 1
        return token

    def _value(self) -> Value:
        token = self._tokens[self._next]
        self._next += 1
        if token.kind == "number":
            return float(token.text) if "." in token.text else int(token.text)
        if token.kind == "text":
            return token.text[1:-1].replace("''", "'")
        if token.kind == "word" and token.text in ("true", "false"):
            return token.text == "true"
        self._next -= 1
        raise self._error("a value")

    def _accept(self, kind: str, text: str) -> bool:
        token = self._tokens[self._next]
        if (token.kind, token.text) != (kind, text):
            return False
        self._next += 1
        return True

    def _error(self, meaning: str) -> QueryError:
        token = self._tokens[self._next]
        return QueryError(f"expected {meaning} at {token.position}, found {token.text or 'the end'!r}")
