"""What an expression says: its root, the referent's phrase, words of place, and the tokens that spell the root."""

from .expression import Direction, Expression, check_expression
from .syntax import parse

__all__ = ["Direction", "Expression", "check_expression", "parse"]
