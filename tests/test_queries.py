"""What expressions ask for: single ones, whole corpora, and whatever text there may be."""

import runpy
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from conftest import ROOT, SHARED
from refdiff.errors import InputError
from refdiff.language import Query, queries, query
from refdiff.language.expression import MAX_CHARACTERS
from refdiff.language.reader import MAX_DEPTH
from refdiff.language.spelling import spelled
from refdiff.language.words import IDEAS

CORPORA = ROOT / "benchmarks" / "queries"
STYLE = SHARED / "expressions" / "refcoco_style.txt"

LINES = """
the mug left of the laptop = one mug, left of (one laptop)
second donut from the right = one donut, #2 from right
the biggest red balloon = one balloon, red, biggest
two cats under the table = 2 cat, below (one table)
red shirt right = one shirt, red, at right
black suitcase in middle = one suitcase, black, at middle
the cup between the dog and the cat = one cup, between (one dog) and (one cat)
all fish except the yellow ones = all fish, not (all fish, yellow)
the apple that isn't on the plate = one apple, not on (one plate)
person behind the man in a hat = one person, behind (one man, with (one hat))
the middle one = one thing, at middle
the dogs and the second cat from left = all dog + one cat, #2 from left

where is the dog? = one dog
could you segment the truck for me please = one truck
who is holding the ball = one person, with (one ball)
which one of the cats is black? = one cat, black
what color is the dog on the left = one dog, at left
what kind of dog is this = one dog
what is the thing on the left = one thing, at left
mask the girl with the mask = one girl, with (one mask)
show me the camera = one camera
it = one thing

teh cat = one cat
the GREY cat!!! = one cat, grey
man w/ hat = one man, with (one hat)
lady w/o hat = one lady, not with (one hat)
red+blue = one thing, blue, red
the upper-left cup = one cup, at left, at top
bottom-right corner dog = one dog, at bottom, at right
the second-largest dog = one dog, #2 biggest
cat - left = one cat, at left
the man in a t-shirt = one man, with (one t-shirt)
player #12 = one player number 12

the 2 cats = 2 cat
cats (both) = 2 cat
a dozen eggs = 12 egg
some of the birds = all bird
a pair of scissors = one pair of scissors
a pair of dogs = 2 dog
one of the two red cups on the left = one cup, red, at left
one red cup = one cup, red
everybody in red = all person, red
anything red = all thing, red
two kinds of fruit = 2 fruit
slices of pizza = all slice of pizza
wine glasses = all wine glass
man in blue jeans = one man, with (one jeans, blue)
children = all child
the tabby one = one thing, tabby
firefighter = one firefighter
jumping donut = one donut, jumping
goalie jumping = one goalie, jumping
hydrant standing = one hydrant, standing
the orange orange = one orange, orange
the plastic bottle = one bottle, plastic
a white line = one line, white
biggest dog of the picture = one dog, biggest
third person in line = one person, #3 from left
the man on the line = one man, on (one line)
person on the left side of the road = one person, left of (one road)
second row of chairs = all chair, #2 from left
the cup on the table the red one = one cup, red, on (one table)
laptop screen = one laptop screen
row of chairs = one row of chairs
top row of windows = all window, at top
middle row = one thing, at middle

the person to the very left = one person, #1 from left
person all the way on the right = one person, #1 from right
dog on right next to tree = one dog, at right, next to (one tree)
the dog on the right of the picture = one dog, at right
top half of the sandwich = one sandwich, at top
middle of the three dogs = one dog, at middle
the left of the two cars = one car, at left
the middle cat of the three = one cat, at middle
the dog in the middle of the cats = one dog, between (all cat)
tv in the corner of the room = one tv, in (one room)
cat at the left end of the couch = one cat, left of (one couch)
the dog in between = one dog, at middle
the one behind = one thing, at back
the book on the top shelf = one book, on (one shelf, at top)
second dog from the left in the back row = one dog, at back, #2 from left
zebra, second from the right = one zebra, #2 from right
top row, third from left = one thing, at top, #3 from left
2nd to the left = one thing, #2 from left
last one on the right = one thing, #1 from right
the last cup from the left = one cup, #1 from right
2nd to last car = one car, #2 from right
the first, second and fourth car = one car, #1 from left + one car, #2 from left + one car, #4 from left
leftmost and rightmost dogs = one dog, #1 from left + one dog, #1 from right
the taller of the two men = one man, tallest

closest cup to the laptop = one cup, closest to (one laptop)
the dog closest to us = one dog, #1 from front
the cup nearest the left edge = one cup, #1 from left
the one farthest from the center = one thing, not at middle
farthest from the left = one thing, #1 from right
cup closest to the front of the car = one cup, closest to (one car)
man with the hat closest to the tree = one man, closest to (one tree), with (one hat)
the cat outside the box = one cat, not in (one box)
person at the table = one person, next to (one table)
girl in pink shirt and jeans = one girl, with (one jeans), with (one shirt, pink)
man in dark blue and white = one man, blue, dark, white
the kid in the red and blue jacket = one kid, with (one jacket, blue, red)
woman in a white top = one woman, with (one top, white)
lady with her back to us = one lady, with (one back)
guy white shirt = one guy, with (one shirt, white)
red shirt guy = one guy, with (one shirt, red)
man in blue shirt with glasses on the left = one man, at left, with (one glasses), with (one shirt, blue)
the girl with a flower in her hair = one girl, with (one flower, in (one hair))
the girl with a hat who is smiling = one girl, smiling, with (one hat)
the cup whose handle is broken = one cup, with (one handle, broken)
man with hat smiling = one man, smiling, with (one hat)
the man with a hat without glasses = one man, not with (one glasses), with (one hat)
man with a hat at the table = one man, next to (one table), with (one hat)
the boy throwing the ball = one boy, throwing, with (one ball)
man bending over = one man, bending
the plate with no food on it = one plate, not with (one food)
the man's left hand = one hand, at left, of (one man)
the cat on the black and white rug = one cat, on (one rug, black, white)
the person who is a doctor = one person, doctor
the car between the red and the blue car = one car, between (one car, red) and (one car, blue)

dogs that aren't brown or black = all dog, not black, not brown
the cat and not the dog = one cat, not (one dog)
the car but not the truck = one car, not (one truck)
not the dog but the cat = one cat
the big but not red car = one car, big, not red
any animal but the cat = all animal, not (one cat)
all but the smallest of the cups = all thing, not (one cup, smallest)
all zebras except for the smallest = all zebra, not (one zebra, smallest)
the cups except the red one and the blue one = all cup, not (one cup, blue), not (one cup, red)
the cat in the box except the black one = all cat, in (one box), not (one cat, black)
dog near the tree but not the one on the left = one dog, next to (one tree), not (one dog, at left)
dog not next to the man or the woman = one dog, not next to (one man), not next to (one woman)
the man with the hat not on the left = one man, not at left, with (one hat)
the man with a dog that is not on the left = one man, not at left, with (one dog)
not without a hat = one thing, with (one hat)
cats and dogs = all cat + all dog
the black cat and the white one = one cat, black + one cat, white
left dog and right cat = one dog, at left + one cat, at right
the cat on the left and right = one cat, at left, at right
the cat between the dog and = one cat, between (one dog)
the clown and the balloon above him = one clown + one balloon, above (one clown)

both the red mug and the blue one = one mug, red + one mug, blue
both cats next to the man and the dog = 2 cat, next to (one man) + one dog
mug nearest lamp = one mug, closest to (one lamp)
the chair further back = one chair, at back
dog that is neither on the couch nor under the table = one dog, not below (one table), not on (one couch)
neither the cat nor the dog nor the mouse = all thing, not (one cat), not (one dog), not (one mouse)
not the left cat, the right one = one cat, at right
i don't want the cat, i want the dog = one dog
do not pick the cat and the dog = all thing, not (one cat), not (one dog)
no red shirt guy = one guy, not with (one shirt, red)
mug no handle on the left = one mug, at left, not with (one handle)
the smallest but one cat = one cat, #2 smallest
red, blue or green car on the left = one car, red, at left + one car, blue, at left + one car, green, at left
two red or blue cars = 2 car, blue, red
black and white cats = all cat, black, white
man in red or blue shirt = one man, with (one shirt, blue, red)
the mug and the boy with a ball and a bag = one mug + one boy, with (one bag), with (one ball)
a boy holding an umbrella and a bag = one boy, with (one umbrella) + one bag
the girl with a ball and a dog = one girl, with (one ball) + one dog
rt most car = one car, #1 from right
upper r corner = one thing, at right, at top
the letter l = one letter l
mug|left = one mug, at left
mug(left) = one mug, at left
mug no. 2 = one mug number 2
the cat not above and to the left of the laptop = one cat, not above (one laptop), not left of (one laptop)
cat above left of the tree = one cat, above (one tree), left of (one tree)

cup to the immediate right of the laptop = one cup, right of (one laptop)
the chair slightly to the left of the sofa = one chair, left of (one sofa)
bike off to the right = one bike, at right
guy way in the back = one guy, at back
person cropped off at the right edge = one person, cropped, at right
apple at 2 o'clock = one apple, at right, at top
bird on the edge of the roof = one bird, on (one roof)
the kid in the snow wearing a red jacket = one kid, in (one snow), with (one jacket, red)
the girl on the couch holding a ball = one girl, on (one couch), with (one ball)
the man with the dog that is wearing a sweater = one man, with (one dog, with (one sweater))
man on the horse holding a flag = one man, on (one horse), with (one flag)
cat on the chair with the red cushion = one cat, on (one chair, with (one cushion, red))
ice cream with a cherry on top = one ice cream, with (one cherry)
the horse with its head down = one horse, with (one head, down)
left horse head up = one horse, at left, with (one head, up)
a segmentation of the left zebra = one zebra, at left
the mask of the girl = one mask, of (one girl)
would you mind marking the tallest man = one man, tallest
Hi! cut out the boy please = one boy
You see the two cats? I want the left one = one cat, at left
There is a dog on the bench. Mark it = one dog, on (one bench)
chair with no one in it = one chair, not with (one person)
birds that do not fly = all bird, not fly
the horse that the girl is riding = one horse, below (one girl)
the couch nobody is sitting on = one couch, not below (one person)
the umbrella the lady is holding = one umbrella, of (one lady)
the box the cat is in = one box, with (one cat)
what is the man holding? = one thing, of (one man)
girl, ponytail, left = one girl, at left, with (one ponytail)
boy in pyjamas = one boy, with (one pyjamas)
cow in front, head down = one cow, at front, with (one head, down)
the man on the bench not wearing a hat = one man, not with (one hat), on (one bench)
the man on the bench without a hat = one man, not with (one hat), on (one bench)
guy no shirt = one guy, not with (one shirt)
blue jeans no shirt = one thing, not with (one shirt), with (one jeans, blue)
lady on her cell phone = one lady, with (one cell phone)
the remote closest to the cat = one remote, closest to (one cat)
the trash can by the door = one trash can, next to (one door)
number 3 from the right = one thing, #3 from right
five in from the left = one thing, #5 from left
one before last on the right = one thing, #2 from right
half a dozen eggs = 6 egg
those oxen = all ox
chair b/w the table and the wall = one chair, between (one table) and (one wall)
the bigest dog to the lft of the yelow bus = one dog, biggest, left of (one bus, yellow)
""".strip().splitlines()

IGNORED = """
the cat through the fence = one cat = through
the dog facing left = one dog = facing left
the other dog = one dog = other
the picture the man is looking at = one picture = man
the rest of the cups = all cup = the rest of
every second tile = all tile = every second
the van across from the church = one van, next to (one church) = across from
a man facing the horse = one man, next to (one horse) = facing
the man talking to the woman = one man, talking = to woman
the dog that does not look at the ball = one dog = not look
the guy bending over to pick up the ball = one guy, bending = ball
the man on the bench two people = one man, on (one bench) = people
the lamp that is on = one lamp = on
everyone but him = all person = but
a person holding nothing = one person = nothing holding
the cat not = one cat = not
the 🐱 on the left = one thing, at left = 🐱
more than two dogs = 2 dog = more than
at least two cats = 2 cat = at least
half of the apples = all apple = half of
neither of the dogs = all dog = neither of
something to eat = one thing = eat
the roof of = one roof = of
""".strip().splitlines()


def said(text: object) -> Query | None:
    """The query of a text, or None where it is refused; whatever it is, it can be printed and compared."""
    try:
        found = query(text)
    except InputError:
        return None
    assert str(found) and hash(found) == hash(query(text))
    assert all(target.phrase for each in found.targets for target in each.nested())
    assert max(depth(each) for each in found.targets) <= MAX_DEPTH + 1
    return found


def depth(target) -> int:
    return 1 + max((depth(other) for relation in target.relations for other in relation.to), default=0)


@pytest.mark.parametrize("line", filter(None, LINES))
def test_an_expression_is_read(line):
    text, wanted = line.split(" = ")
    assert (str(query(text)), query(text).ignored) == (wanted, ())


@pytest.mark.parametrize("line", IGNORED)
def test_words_that_are_not_understood_are_named(line):
    text, wanted, ignored = (part.strip() for part in line.split(" ="))
    assert (str(query(text)), " ".join(query(text).ignored)) == (wanted, ignored)


@pytest.mark.skipif(not CORPORA.is_dir(), reason="the corpora (benchmarks/queries) are not here")
@pytest.mark.parametrize(("corpus", "share"), [("working", 0.97), ("reporting", 0.95)])
def test_the_corpora_are_read(corpus, share):
    tidy = runpy.run_path(str(CORPORA.with_suffix(".py")))["tidy"]
    lines = [line.split("\t") for line in (CORPORA / f"{corpus}.tsv").read_text("utf-8").splitlines()]
    right = sum(tidy(str(query(text))) == tidy(wanted) for _, text, wanted in lines)
    assert right >= share * len(lines)


@pytest.mark.skipif(not STYLE.exists(), reason="the expressions as of RefCOCO (../shared/expressions) are not here")
def test_hardly_a_word_of_telegraphic_expressions_is_not_understood():
    lines = [line for line in STYLE.read_text("utf-8").splitlines() if line.strip()]
    assert sum(bool(query(line).ignored) for line in lines) <= 0.05 * len(lines)


quick = settings(max_examples=150, deadline=None, database=None, derandomize=True)
WORDS = [*map(" ".join, IDEAS), *"cat dogs red jumping shirt 's - , 2 ² é 猫 < & slice pizza hot".split()]


@quick
@given(st.text(max_size=60) | st.integers() | st.none())
def test_any_text_is_read_or_refused(text):
    said(text)


@quick
@given(st.lists(st.sampled_from(WORDS), min_size=1, max_size=30))
def test_known_words_in_any_order_are_read(words):
    said(" ".join(words))


@quick
@given(st.lists(st.sampled_from(WORDS), min_size=1, max_size=4))
def test_the_longest_expressions_are_read_in_a_short_time(words):
    text = (f"{' '.join(words)} " * MAX_CHARACTERS)[:MAX_CHARACTERS]
    start = time.process_time()
    said(text)
    assert time.process_time() - start < 0.5


@pytest.mark.parametrize("words", ["the cat next to ", "car's ", "cat by dog's ", "cat and not ", "biggest of "])
def test_no_nesting_is_too_deep(words):
    found = queries._query(words * 300)
    assert max(map(depth, found.targets)) <= MAX_DEPTH + 1 and str(found)


def test_what_is_nested_too_deep_is_named():
    (ignored,) = query("the cat on " * 50 + "the mat").ignored[:1]
    assert ignored.endswith("cat on the mat")


@pytest.mark.parametrize("word", "than lest lets night tan rid loft tony shall rebar behold cooper largo lift".split())
def test_words_and_names_are_not_taken_for_slips(word):
    assert spelled(word) == word


def test_what_is_said_twice_or_contradicts_itself_is_kept_once():
    assert str(query("the left left cat on the left, on the right")) == "one cat, at left, at right"
    assert str(query("the cat and the cat")) == "one cat"
    assert str(query("the biggest smallest cat that is not a cat")) == "one cat, biggest, smallest, not (all cat)"


def test_a_plain_query_is_of_one_thing_by_what_it_is():
    assert query("the old red mug").plain and query("the old red mug").targets[0].phrase == "old red mug"
    for text in ("mugs", "left mug", "the mug and the cup", "the red one", "the mug that is not red"):
        assert not query(text).plain
