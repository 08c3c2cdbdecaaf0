"""What an expression says: its root, the referent's phrase, words of place, the tokens that spell the root, and the
query: what is asked for."""

from .expression import Direction, Expression, check_expression
from .queries import query
from .query import Attribute, Condition, Place, Query, Rank, Relation, Target
from .syntax import parse

__all__ = ["Attribute", "Condition", "Direction", "Expression", "Place", "Query", "Rank", "Relation", "Target",
           "check_expression", "parse", "query"]
