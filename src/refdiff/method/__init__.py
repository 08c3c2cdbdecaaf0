"""The paper: Eq. 1 to 10. `ref_diff.py` is the whole method on one page; the other files hold its equations."""

from .correlation import CorrelationMap, correlation_map
from .edges import EdgeSmoother
from .position import biased_image, positional_bias
from .ref_diff import Scene, Scores, correlation_maps, ref_diff
from .scores import between_class_scores, eligible, fuse, generative_scores
from .threshold import threshold_proposals

__all__ = ["CorrelationMap", "EdgeSmoother", "Scene", "Scores", "between_class_scores", "biased_image",
           "correlation_map", "correlation_maps", "eligible", "fuse", "generative_scores", "positional_bias",
           "ref_diff", "threshold_proposals"]
