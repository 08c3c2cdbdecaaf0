"""The words for each idea that a `Query` knows: one table an idea, so that a word is added in one place.

In the tables of phrases a space parts two phrases and an underscore two words: "next_to beside" is "next to" and
"beside". A phrase belongs to the first table that `_table` adds it from.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

from .query import THING, Kind, Order, Side

Idea = Literal["", "word", "side", "extreme", "part", "picture", "viewer", "ordinal", "superlative", "comparative",
               "than", "distance", "relation", "unrelated", "of", "possessive", "at", "from", "unknown", "heading",
               "number", "determiner", "one", "someone", "everything", "pronoun", "and", "but", "except", "not",
               "that", "be", "request", "fill", "ignored"]
"""What an item of an expression can be: "" is the end, "word" a word that stands in no table."""

# Where: sides, the end of a side, and what has sides

_SIDES: dict[Side, str] = {
    "left": "left lefthand left-hand west",
    "right": "right righthand right-hand east",
    "top": "top upper higher",
    "bottom": "bottom lower",
    "middle": "middle center centre central mid center-most very_middle very_center very_centre dead_center",
    "front": "front foreground forefront the_near",
    "back": "back background rear far_side far_end",
    "corner": "corner hand_corner",
    "edge": "edge border",
}
_MOST = ("{0}most {0}-most {0}_most most_{0} most_to_the_{0} far_{0} farthest_{0} furthest_{0} furthermost_{0} "
         "extreme_{0} very_{0} all_the_way_{0} all_the_way_to_{0} all_the_way_to_the_{0} all_the_way_on_the_{0} "
         "all_the_way_at_the_{0} all_the_way_in_the_{0} nearest_{0} closest_{0}")
_EXTREMES: dict[Order, str] = {
    "left": _MOST.format("left"),
    "right": _MOST.format("right"),
    "top": f"{_MOST.format('top')} highest uppermost highest_up furthest_up farthest_up",
    "bottom": f"{_MOST.format('bottom')} lowest lowermost lowest_down furthest_down "
              "farthest_down",
    "front": f"{_MOST.format('front')} foremost",
    "back": f"{_MOST.format('back')} hindmost rearmost",
}
_PARTS = "side half part area section quadrant portion row column line end spot position region hand_side"
_PICTURE = "picture image photo photograph pic scene frame screen shot view whole_picture drawing"
_VIEWER = "camera viewer us me you lens photographer"
CORNERS = ("corner", "edge")
"""Sides that say no more beside another: "top left corner"."""
SIDES_HAD = ("top", "back")
"""Sides that may be what someone has: "with her back to us", "wearing a top"."""
LINES = frozenset("row column line".split())
"""Parts in which things are counted along, and which are none of the things counted."""
PLACES_AND_THINGS = frozenset("column line spot end top screen frame picture drawing camera lens photographer".split())
"""Words of place that are things where nothing else is: "a white line", "the camera"."""

# Which one of several

_ORDINALS: dict[int, str] = {
    1: "first 1st", 2: "second 2nd", 3: "third 3rd", 4: "fourth 4th", 5: "fifth 5th", 6: "sixth 6th", 7: "seventh 7th",
    8: "eighth 8th", 9: "ninth 9th", 10: "tenth 10th", -1: "last final",
    -2: "second_to_last 2nd_to_last next_to_last second_last 2nd_last penultimate",
    -3: "third_to_last 3rd_to_last third_last 3rd_last",
}
"""Numbers from the last are negative."""
_SUPERLATIVES: dict[Order, str] = {
    "biggest": "biggest largest greatest hugest bulkiest",
    "smallest": "smallest littlest tiniest",
    "tallest": "tallest",
    "shortest": "shortest",
    "widest": "widest broadest fattest longest",
    "narrowest": "narrowest thinnest skinniest slimmest",
}
_COMPARATIVES: dict[Order, str] = {
    "biggest": "bigger larger greater",
    "smallest": "smaller littler tinier",
    "tallest": "taller",
    "shortest": "shorter",
    "widest": "wider broader fatter longer",
    "narrowest": "narrower thinner slimmer skinnier",
}
COUNTED_FROM: dict[Side, Order] = {"left": "left", "right": "right", "top": "top", "bottom": "bottom", "front": "front",
                                   "back": "back"}
"""The sides that things can be counted from."""
OPPOSITE: dict[Order, Order] = {
    "left": "right", "right": "left", "top": "bottom", "bottom": "top", "front": "back", "back": "front",
    "biggest": "smallest", "smallest": "biggest", "tallest": "shortest", "shortest": "tallest",
    "widest": "narrowest", "narrowest": "widest",
}
COMPARED: dict[Order, Kind] = {
    "biggest": "bigger than", "smallest": "smaller than", "tallest": "taller than", "shortest": "shorter than",
    "widest": "bigger than", "narrowest": "smaller than",
}
"""What a comparative with "than" means."""

# How a thing stands to others

_BESIDE = ("{0}_of to_the_{0}_of on_the_{0}_of at_the_{0}_of to_{0}_of on_{0}_of {0}_from {0}_hand_side_of "
           "on_the_{0}_side_of to_the_{0}_side_of on_the_{0}-hand_side_of on_the_{0}_hand_side_of")
_RELATIONS: dict[Kind, str] = {
    "left of": _BESIDE.format("left"),
    "right of": _BESIDE.format("right"),
    "above": "above over higher_than higher_up_than up_above just_above right_above directly_above",
    "below": "below under underneath beneath lower_than lower_down_than right_below directly_below right_under "
             "directly_under just_below just_under",
    "next to": "next_to beside besides near near_to nearby close_to close_by by alongside adjacent_to next around "
               "right_next_to directly_next_to right_beside right_by by_the_side_of at_the_side_of on_the_side_of "
               "side_by_side_with not_far_from in_the_vicinity_of opposite opposite_to opposite_from opposite_of "
               "across_from diagonal_from",
    "between": "between in_between betwixt among amongst",
    "behind": "behind in_back_of in_the_back_of at_the_back_of right_behind directly_behind hidden_by",
    "in front of": "in_front_of in_the_front_of right_in_front_of directly_in_front_of before",
    "on": "on upon on_top_of on_the_top_of atop sitting_atop onto riding riding_on ride rides rides_on",
    "in": "in inside within into inside_of enclosed_by surrounded_by",
    "touching": "touching touches touch against leaning_on leaning_against attached_to in_contact_with overlapping "
                "overlapping_with",
    "with": "with hold holds holding wear wears wearing carry carries carrying containing has have having had_on using "
            "bearing whose showing displaying depicting sporting",
    "of": "held_by worn_by carried_by owned_by belonging_to belongs_to being_held_by being_worn_by being_carried_by",
}
_UNRELATED: dict[Kind, str] = {
    "with": "without lacking missing with_no has_no have_no having_no",
    "in": "outside outside_of",
}
"""Relations in which a thing does not stand."""
_DISTANCES: dict[Kind, str] = {
    "closest to": "closest nearest closest_to nearest_to closer nearer closer_to nearer_to",
    "farthest from": "farthest furthest farthest_from furthest_from farthest_away furthest_away farthest_away_from "
                     "furthest_away_from most_distant most_distant_from away_from far_from far_away_from "
                     "farther further farther_from further_from farther_away farther_away_from further_away "
                     "further_away_from",
}
FROM_VIEWER: dict[Kind, Order] = {"closest to": "front", "farthest from": "back"}
"""What distances mean where nothing is named that they are from."""
SIDE_OF: dict[Side, Kind] = {"left": "left of", "right": "right of", "top": "on", "bottom": "below", "back": "behind",
                             "front": "in front of"}
"""What a side means before "of" and another thing."""
PLACE_IN_PICTURE: dict[Kind, tuple[Side, ...]] = {"left of": ("left",), "right of": ("right",), "in": (), "on": ()}
"""Where a thing is that stands so to the picture."""
BEFORE_PLACES = frozenset("on in by near within".split())
"""Relations that are none before a side: "on the left"."""
NOT_QUITE = frozenset(("opposite", "opposite to", "opposite from", "opposite of", "across from", "diagonal from"))
"""Said with these, things are near each other, and how they stand is not understood."""
WHO = frozenset("that which who".split())
WORN = frozenset("hold holds holding wear wears wearing carry carries carrying sporting".split())
"""Relations that only people and animals have, to their clothes and to what they carry."""
SIDE_ALONE: dict[str, Side] = {"between": "middle", "in between": "middle", "behind": "back", "above": "top",
                               "below": "bottom", "underneath": "bottom"}
"""Where a thing is, said with a relation that nothing follows: "the one behind"."""
INVERSE: dict[Kind, Kind] = {
    "on": "below", "in": "with", "with": "of", "left of": "right of", "right of": "left of", "above": "below",
    "below": "above", "next to": "next to", "behind": "in front of", "in front of": "behind", "touching": "touching",
    "bigger than": "smaller than", "smaller than": "bigger than", "taller than": "shorter than",
    "shorter than": "taller than",
}
"""How the second thing stands to the first: "the horse that the girl is riding" is below her."""
HANDLING = frozenset("eating drinking reading throwing kicking hitting swinging pushing pulling catching playing "
                     "feeding petting hugging cutting pouring".split())
"""What is done to a thing at hand, which the doer is then with."""
_HEADINGS = "facing looking pointing turned turning heading headed aimed leaning moving walking running flying going"
"""What has a direction that is no place: "facing left"."""
_UNKNOWN = ("along across through like as off beyond past about for looking_at staring_at gazing_at watching out_of")

# How many, and what stands for a noun

_NUMBERS: dict[int | Literal["all"], str] = {
    2: "two both both_of pair couple couple_of a_couple_of", 3: "three", 4: "four", 5: "five",
    6: "six half_a_dozen half_dozen a_half_dozen", 7: "seven", 8: "eight", 9: "nine", 10: "ten", 11: "eleven",
    12: "twelve dozen",
    "all": "all all_of most_of every every_single every_one_of each each_of any_of some_of several several_of many "
           "many_of few a_few a_few_of lots_of a_lot_of multiple various dozens_of every_other every_second "
           "every_third every_fourth the_rest_of rest_of the_remaining remaining",
}
SOME_OF_ALL = frozenset(("every other", "every second", "every third", "every fourth", "the rest of", "rest of",
                         "the remaining", "remaining"))
"""Numbers that leave some out, which is not understood."""
_DETERMINERS = "the a an this these those my your his her their our its some any another either"
POSSESSIVES = frozenset("my your his her their our its".split())
_ONES = "one ones thing things object objects item items stuff"
_SOMEONE = {THING: "something what", "person": "someone somebody who whom"}
_EVERYTHING = {THING: "everything anything all_things", "person": "everybody everyone anyone anybody"}
_PRONOUNS = "it he she they him them himself herself itself"

# What joins, leaves out and links

_AND = "and plus & + or , ; as_well_as along_with together_with and_also also"
_EXCEPT = ("except except_for excluding other_than apart_from aside_from but_not_counting besides_from save_for minus "
           "with_the_exception_of without_counting")
_NOT = "not n't nt no non never neither nor cannot rather_than instead_of as_opposed_to"
_THAT = "that which"
_BE = ("is are was were be being been has_been 's s 're do does did doesn don ca looks appears "
       "seems located placed positioned situated stands stand standing_there lies found shown seen visible there_is "
       "there_are dressed clad i")
_REQUESTS = ("can mark mask point cut_out crop crop_out extract isolate label annotate trace circle click click_on "
             "grab mind try_to want_you i_see masking marking selecting finding segmenting highlighting outlining "
             "pointing_out pointing_to picking picking_out cutting_out showing_me locating identifying "
             "segmentation segmentation_mask masks mask_out put_a_mask_on put_a_mask_over draw_a_box_around "
             "draw_around box_around selection silhouette contour cutout cut-out")
MASKS = frozenset(("mask", "masks", "segmentation", "segmentation mask", "outline", "selection", "silhouette",
                   "contour", "cutout", "cut-out"))
"""What is asked for of a thing: "a mask of the bus"."""
"""Words that fill at the beginning, before what is asked for: "mask the girl" but not "the girl with the mask"."""
_FILL = ("please find show could would want need give get choose select highlight locate identify detect segment "
         "outline draw pick tell help look see mean where thanks hello hey hi ok okay am 'm 'd 'll let kindly we "
         "just only exactly directly actually really might may must will so then try thank_you can_i i_can i_can_see "
         "you_can_see one_can_see can_be i_mean i_want i_need would_like would_like_to 'd_like looking_for point_to "
         "counting counted point_at point_out pick_out which_one what_color what_colour nothing_but for_me for_us here "
         "there over_here over_there together in_line in_a_line in_a_row up down out . ? ! : \" '' ' ` `` ( ) [ ] / -")
_IGNORED = ("other same different nothing none none_of neither_of more_than less_than fewer_than no_more_than "
            "no_fewer_than no_less_than at_least at_most up_to half_the")


def _table() -> dict[tuple[str, ...], tuple[Idea, Any]]:
    """Each phrase, as a tuple of words: its idea, and what it says of it. The first idea to claim a phrase keeps it."""
    table: dict[tuple[str, ...], tuple[Idea, Any]] = {}

    def add(idea: Idea, meanings: Mapping[Any, str] | str) -> None:
        for meaning, phrases in ({None: meanings} if isinstance(meanings, str) else meanings).items():
            for phrase in phrases.split():
                table.setdefault(tuple(phrase.split("_")), (idea, meaning))

    add("extreme", _EXTREMES)
    add("superlative", _SUPERLATIVES)
    add("comparative", _COMPARATIVES)
    add("relation", _RELATIONS)
    add("unrelated", _UNRELATED)
    add("distance", _DISTANCES)
    add("side", _SIDES)
    add("someone", _SOMEONE)
    add("everything", _EVERYTHING)
    add("number", _NUMBERS)
    add("ordinal", _ORDINALS)
    add("not", _NOT)
    add("except", _EXCEPT)
    add("and", _AND)
    add("but", "but")
    add("that", _THAT)
    add("be", _BE)
    add("determiner", _DETERMINERS)
    add("request", _REQUESTS)
    add("fill", _FILL)
    add("picture", _PICTURE)
    add("part", _PARTS)
    add("viewer", _VIEWER)
    add("one", _ONES)
    add("pronoun", _PRONOUNS)
    add("than", "than")
    add("of", "of")
    add("from", "from")
    add("at", "at to towards toward")
    add("heading", _HEADINGS)
    add("unknown", _UNKNOWN)
    add("ignored", _IGNORED)
    return table


IDEAS = _table()
LONGEST = max(map(len, IDEAS))
