"""The kinds of words that no idea of `words` covers: what describes, what is worn, how plurals are formed."""

from __future__ import annotations

COLOURS = frozenset("red green blue yellow purple pink brown black white gray grey beige tan khaki orange violet "
                    "golden gold silver turquoise maroon cyan teal navy blonde".split())
SIZES = frozenset("big small large little tiny huge tall short long wide thin fat giant old young new".split())
MATERIALS = frozenset("wooden plastic metal leather plaid".split())
SHADES = frozenset("dark light bright pale deep".split())
ADJECTIVES = COLOURS | SIZES | SHADES | MATERIALS | frozenset(
    "striped checkered spotted floral plain colorful colourful empty full open closed broken blurry shiny fluffy "
    "barefoot barefooted shirtless topless bald chubby freckled unpeeled furry fuzzy hairy dirty clean wet dry "
    "round square".split())
"""What describes, whatever a tagger says."""
NOUNS_TOO = MATERIALS | frozenset("light square".split())
"""Adjectives that may be nouns where a tagger says so."""
DEGREES = frozenset("most least very quite rather too more much almost still".split())
CLOTHES = frozenset("shirt hat cap coat jacket dress suit tie jeans pants shorts skirt top uniform t-shirt tshirt "
                    "tee sweater hoodie vest glasses sunglasses helmet scarf gown jersey outfit sweatshirt blouse "
                    "shoe boot sock glove apron robe costume bikini swimsuit trouser overalls cloth clothing "
                    "clothes tuxedo stripe plaid sandal sneaker beanie hood poncho cape mask braid pigtail ponytail "
                    "plait cardigan jumper tracksuit heel trainer waistcoat parka pyjama pyjamas pajama pajamas "
                    "bathrobe kimono leotard leggings tights raincoat overcoat windbreaker fleece anorak blazer "
                    "turban veil headscarf bandana headband bonnet beret fedora sombrero turtleneck pullover "
                    "sweatpants joggers shirtdress sundress slipper flip-flop loafer stocking mitten sari kilt "
                    "wetsuit trunks goggles earmuffs bowtie necktie undershirt camisole romper "
                    "jumpsuit dungarees onesie nightgown cloak snowsuit singlet polo cowl visor headphones "
                    "earphones crown tiara suspenders".split())
HAD = CLOTHES | frozenset("beard hair mustache moustache tattoo backpack purse necklace watch dreadlock dreads bun "
                          "bangs fringe afro mohawk curl goatee sideburn earring bracelet headdress handbag "
                          "rucksack satchel".split())
"""What one may be with several of: "with a hat and a beard"."""
MEASURES = frozenset("piece slice pair bowl glass cup bottle plate bunch group box can set stack pile basket bag "
                     "loaf scoop bouquet herd flock jar mug tray pack carton bucket vase pot bit chunk portion "
                     "stick ball roll sheet row tin packet sack jug pint crate bundle barrel tub cone wedge pitcher "
                     "cluster heap bale tube block cube pad deck sliver spoonful serving".split())
"""Nouns that make one with the noun after "of"."""
KINDS = frozenset("kind type sort".split())
"""Nouns that give way to the noun after "of"."""
PAIRS = frozenset("scissors glasses sunglasses eyeglasses spectacles shades specs jeans pants shorts trousers "
                  "headphones goggles pliers binoculars overalls clothes pyjamas pajamas leggings tights sweatpants "
                  "joggers trunks dungarees earmuffs earphones bangs dreads suspenders".split())
"""Plural in form, one in meaning."""
IE_PLURALS = frozenset("cookies pies ties zombies brownies smoothies selfies hoodies movies veggies birdies doggies "
                       "genies pixies cuties sweeties magpies neckties bowties".split())
"""Plurals that only lose an s."""
SINGULAR_ENDINGS = ("ss", "us", "is")
SINGULAR = frozenset("lens bus gas canvas atlas christmas species series chess tennis swiss news".split())
PAIRED = PAIRS | frozenset("shoes socks gloves boots sandals sneakers slippers mittens earrings skis".split())
"""What a "pair of" is one thing of; a "pair of dogs" is two."""
ING_NOUNS = frozenset("building ring earring ceiling painting king string wing clothing sting swing spring thing "
                      "railing icing dressing stuffing bedding pudding sibling duckling frosting topping filling "
                      "awning".split())
WEARERS = frozenset("man woman boy girl guy lady kid child person player dude".split())
"""Whom one tells by clothes: "red shirt guy"."""
PEOPLE = {
    "people": "person", "persons": "person", "men": "man", "women": "woman", "children": "child", "mice": "mouse",
    "oxen": "ox", "geese": "goose", "feet": "foot", "teeth": "tooth", "guys": "guy", "ladies": "lady",
    "folks": "person", "kids": "kid", "lice": "louse", "wolves": "wolf", "calves": "calf",
}
"""Plurals that a tagger often misses."""
PERSONS = WEARERS | frozenset(
    "baby toddler infant adult teen teenager bloke chap fella gentleman mum mom mother dad father brother sister "
    "son daughter husband wife grandma grandpa grandmother grandfather bride groom couple batter catcher "
    "pitcher umpire referee goalie goalkeeper keeper surfer skier snowboarder skater skateboarder biker cyclist "
    "rider jockey driver passenger dancer singer musician worker officer cop soldier fireman firefighter chef cook "
    "waiter waitress teacher student doctor nurse athlete runner swimmer golfer hitter judge coach fan spectator "
    "tourist customer farmer fisherman cowboy king queen clown snowman mannequin doll dummy statue figure".split())
ANIMALS = frozenset("animal dog puppy cat kitten kitty horse pony foal donkey mule zebra giraffe elephant cow bull "
                    "calf ox sheep lamb goat pig monkey ape gorilla bear lion tiger leopard fox wolf deer rabbit "
                    "bunny squirrel mouse rat hamster bird duck duckling goose swan chicken rooster hen parrot owl "
                    "eagle pigeon seagull penguin ostrich flamingo turtle frog camel llama alpaca kangaroo koala "
                    "panda seal dolphin teddy".split())
ANIMATE = PERSONS | ANIMALS
"""Who can wear and hold."""
COATS = frozenset("fur feather plumage skin body paint".split())
"""What a thing is the colour of."""
BODY = frozenset("head trunk arm hand leg tail thumb paw foot ear nose neck beak wing finger chin lid hood hair "
                 "mouth face seat".split())
"""What may be up or down."""
PHONES = frozenset("phone cellphone telephone smartphone mobile iphone cell_phone mobile_phone".split())
"""What one is with who is on it."""
POSTURES = frozenset("kneeling crouching squatting smiling laughing eating drinking reading talking sleeping "
                     "jumping walking running looking playing bending posing crying yawning waving skiing surfing "
                     "skating swimming riding blowing cooking dancing throwing".split())
"""What only people and animals do."""
COMPOUNDS = frozenset("hot_dog fire_hydrant stop_sign remote_control french_fry french_fries polar_bear creepy_crawly "
                      "potted_plant cell_phone mobile_phone tank_top crop_top ice_cream black_board white_board "
                      "high_chair parking_meter parking_lot swimming_pool cutting_board washing_machine teddy_bear "
                      "wine_glass wine_glasses beer_glasses trash_can garbage_can soda_can beer_can watering_can "
                      "tin_can double_decker bathing_suit swimming_trunk water_glasses dining_table dining_room "
                      "frying_pan shopping_cart shopping_bag sleeping_bag".split())
"""Nouns of two words that a tagger may read otherwise; an "s" of the plural may follow."""
