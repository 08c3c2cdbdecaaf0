"""The words for each idea that a `Query` knows. One table an idea, so that a word is added in one place."""

from __future__ import annotations

from .query import Kind, Order, Side

_SIDES: dict[Side, str] = {
    "left": "left lefthand left-hand lefty west", "right": "right righthand right-hand east",
    "top": "top upper uppermost up", "bottom": "bottom lower down",
    "middle": "middle center centre central mid center-most", "front": "front foreground forefront",
    "back": "back background rear", "corner": "corner", "edge": "edge border",
}
_EXTREMES: dict[str, str] = {
    "left": "leftmost left-most left_most far_left farthest_left furthest_left furthermost_left extreme_left "
            "all_the_way_left",
    "right": "rightmost right-most right_most far_right farthest_right furthest_right furthermost_right extreme_right "
             "all_the_way_right",
    "top": "topmost top-most top_most highest uppermost very_top far_top highest_up",
    "bottom": "bottommost bottom-most bottom_most lowest lowermost very_bottom far_bottom lowest_down",
    "front": "front-most frontmost front_most foremost very_front",
    "back": "back-most backmost back_most far_back very_back hindmost rearmost",
}
_SUPERLATIVES: dict[Order, str] = {
    "biggest": "biggest largest greatest hugest bulkiest most_big", "smallest": "smallest littlest tiniest least_big",
    "tallest": "tallest longest_upright", "shortest": "shortest", "widest": "widest broadest fattest longest",
    "narrowest": "narrowest thinnest skinniest slimmest",
}
_COMPARATIVES: dict[Order, str] = {
    "biggest": "bigger larger greater", "smallest": "smaller littler tinier", "tallest": "taller",
    "shortest": "shorter", "widest": "wider broader fatter longer", "narrowest": "narrower thinner slimmer skinnier",
}
COMPARED: dict[str, Kind] = {
    "biggest": "bigger than", "smallest": "smaller than", "tallest": "taller than", "shortest": "shorter than",
    "widest": "bigger than", "narrowest": "smaller than",
}
"""What a comparative with "than" means."""

_RELATIONS: dict[Kind, str] = {
    "left of": "left_of to_the_left_of on_the_left_of at_the_left_of left_from to_left_of left_hand_side_of "
               "on_the_left_side_of on_left_of on_the_left-hand_side_of on_the_left_hand_side_of to_the_left_side_of",
    "right of": "right_of to_the_right_of on_the_right_of at_the_right_of right_from to_right_of right_hand_side_of "
                "on_the_right_side_of on_right_of on_the_right-hand_side_of on_the_right_hand_side_of "
                "to_the_right_side_of",
    "above": "above over higher_than higher_up_than up_above just_above right_above directly_above",
    "below": "below under underneath beneath lower_than right_below directly_below right_under directly_under "
             "just_below just_under lower_down_than",
    "next to": "next_to beside besides near near_to nearby close_to by alongside adjacent_to right_next_to next "
               "close_by in_the_vicinity_of by_the_side_of at_the_side_of side_by_side_with right_beside directly_next_to "
               "right_by not_far_from around",
    "between": "between in_between in_the_middle_of_the_two betwixt among amongst",
    "behind": "behind in_back_of in_the_back_of at_the_back_of right_behind directly_behind hidden_by",
    "in front of": "in_front_of in_the_front_of right_in_front_of directly_in_front_of before",
    "on": "on upon on_top_of atop onto riding riding_on on_the_top_of sitting_atop",
    "in": "in inside within into inside_of enclosed_by surrounded_by",
    "touching": "touching against leaning_on leaning_against attached_to in_contact_with overlapping touches "
                "that_touches overlapping_with",
    "with": "with holding wearing has have having carrying holds wears carries containing had_on using bearing",
}
_NEAREST = "closest nearest closest_to nearest_to"
_FARTHEST = ("farthest furthest farthest_from furthest_from farthest_away furthest_away farthest_away_from "
             "furthest_away_from most_distant most_distant_from away_from far_from far_away_from")
_NUMBERS = {
    "two": 2, "three": 3, "four": 4, "five": 5, "six": 6, "seven": 7, "eight": 8, "nine": 9, "ten": 10,
    "both": 2, "couple": 2, "pair": 2, "a_couple_of": 2, "couple_of": 2, "the_couple_of": 2, "both_of": 2,
}
_ALL = "all every each all_of each_of every_one_of any_of"
_ORDINALS = {
    "first": 1, "second": 2, "third": 3, "fourth": 4, "fifth": 5, "sixth": 6, "seventh": 7, "eighth": 8, "ninth": 9,
    "tenth": 10, "1st": 1, "2nd": 2, "3rd": 3, "4th": 4, "5th": 5, "6th": 6, "7th": 7, "8th": 8, "9th": 9, "10th": 10,
    "last": -1, "final": -1, "second_to_last": -2, "second-to-last": -2, "second_last": -2, "next_to_last": -2,
    "next-to-last": -2, "penultimate": -2, "third_to_last": -3, "third_last": -3, "2nd_to_last": -2, "2nd_last": -2,
}
_NOT = "not n't no non never neither cannot nor"
_EXCEPT = ("except except_for excluding other_than apart_from aside_from but_not besides_from with_the_exception_of "
           "without_counting minus save_for")
_WITHOUT = "without lacking missing with_no has_no have_no having_no"
_AND = "and plus & as_well_as , or along_with together_with and_also also ;"
_BE = ("that which who whom is are was were be being 's 're it's that's does do did doesn don isn aren wasn looks "
       "appears seems located placed positioned situated stands stand standing_there lies found shown seen visible "
       "there_is there_are has_been ca i they he she it dressed clad")
_DETERMINERS = "the a an this these those my your his her their our its some any"
_FILL = ("please find show me can could you would like want i am 'm looking_for looking_at see select mark highlight "
         "point_to point_at point_out point pick pick_out segment mask give us need where what mean i_mean thanks "
         "thank_you get choose locate identify hello hey ok detect outline one_can_see we just only exactly "
         "'d 'll let kindly draw tell which_one help look directly actually really here together might may must will "
         "so then try spot in_it . ? ! : \" ` '' `` ( )")
_PICTURE = "picture image photo photograph pic scene frame screen shot view whole_picture drawing"
_PARTS = "side half part area section quadrant portion row column line end spot position hand region"
_VIEWER = "camera viewer us me you lens photographer"
_PRONOUNS = "him them himself"
_ONES = "one ones thing things object objects item items something someone somebody stuff"
_EVERYTHING = "everything anything all_things everybody everyone anyone anybody whatever"
_UNKNOWN = "at from along across through facing toward towards outside of like as off beyond past about for upside"

COLOURS = frozenset("red green blue yellow purple pink brown black white gray grey beige tan orange violet golden gold "
                    "silver turquoise maroon cyan teal navy blonde".split())
SIZES = frozenset("big small large little tiny huge tall short long wide thin fat giant old young new".split())
ADJECTIVES = COLOURS | SIZES | frozenset("striped wooden plastic metal leather empty blurry spotted dark light bright round square".split())
CLOTHES = frozenset("shirt hat cap coat jacket dress suit tie jeans pants shorts skirt top uniform t-shirt tshirt tee "
                    "sweater hoodie vest glasses sunglasses helmet scarf gown jersey outfit sweatshirt blouse shoe "
                    "boot sock glove apron robe costume bikini swimsuit trouser tank overalls cloth clothing clothes "
                    "tuxedo stripe plaid sandal sneaker beanie hood poncho cape mask".split())
MEASURES = frozenset("piece slice pair bowl glass cup bottle plate bunch group box can set stack pile basket bag loaf "
                     "scoop bouquet herd flock jar mug tray pack carton bucket vase pot bit chunk portion stick "
                     "ball roll sheet row".split())
COMPOUNDS = ("hot dog", "hot dogs", "fire hydrant", "fire hydrants", "stop sign", "stop signs", "remote control",
             "french fries", "polar bear", "polar bears", "potted plant", "potted plants", "cell phone", "cell phones",
             "ice cream", "black board", "high chair", "white board")
"""Nouns of two words that a tagger reads as an adjective and a noun."""
KINDS = frozenset("kind type sort".split())
PAIRS = frozenset("scissors glasses jeans pants shorts trousers sunglasses headphones goggles pliers binoculars "
                  "overalls clothes".split())
"""Plural in form, one in meaning."""
ING_NOUNS = frozenset("building ring earring ceiling painting king string wing clothing sting swing spring thing "
                      "railing icing dressing stuffing bedding pudding sibling duckling".split())
PEOPLE = {"people": "person", "persons": "person", "men": "man", "women": "woman", "children": "child", "mice": "mouse",
          "geese": "goose", "feet": "foot", "teeth": "tooth", "guys": "guy", "ladies": "lady", "folks": "person",
          "kids": "kid"}
"""Plurals that a tagger often misses."""


def _table() -> dict[tuple[str, ...], tuple[str, object]]:
    """Each phrase, as a tuple of words: its idea, and what it says of it. The first idea to claim a phrase keeps it."""
    table: dict[tuple[str, ...], tuple[str, object]] = {}

    def add(phrases: str, idea: str, value: object = None) -> None:
        for phrase in phrases.split():
            table.setdefault(tuple(phrase.split("_")), (idea, value))

    for mapping, idea in ((_EXTREMES, "extreme"), (_SUPERLATIVES, "superlative"), (_COMPARATIVES, "comparative"),
                          (_RELATIONS, "relation"), (_SIDES, "side")):
        for value, phrases in mapping.items():
            add(phrases, idea, value)
    for numbers, idea in ((_NUMBERS, "number"), (_ORDINALS, "ordinal")):
        for phrase, number in numbers.items():
            add(phrase, idea, number)
    add(_ALL, "number", "all")
    for phrases, idea in ((_NEAREST, "nearest"), (_FARTHEST, "farthest"), (_NOT, "not"), (_EXCEPT, "except"),
                          (_WITHOUT, "without"), (_AND, "and"), (_BE, "be"), (_DETERMINERS, "determiner"),
                          (_FILL, "fill"), (_PICTURE, "picture"), (_PARTS, "part"), (_VIEWER, "viewer"),
                          (_ONES, "one"), (_PRONOUNS, "pronoun"), (_EVERYTHING, "everything"), ("than", "than"), ("from", "from"), ("of", "of"),
                          ("but", "but"), ("at to towards toward", "at"), (_UNKNOWN, "unknown"),
                          ("other another same different", "ignored")):
        add(phrases, idea)
    return table


IDEAS = _table()
LONGEST = max(map(len, IDEAS))
