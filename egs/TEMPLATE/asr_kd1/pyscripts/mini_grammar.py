"""The grammar of the mini corpus: plain English sentences from about 230 words.

Sentences are drawn at random; no text of anybody's is used.
"""

import random

NAMES = """anna peter maria thomas laura simon helen martin clara victor emma oscar
nina felix sarah""".split()
ADJECTIVES = """old young tall little clever angry happy quiet gentle busy yellow
purple golden silver heavy empty broken frozen hungry lonely honest modern narrow
ancient wooden polite famous sleepy dirty bright""".split()
PEOPLE = """farmer teacher doctor sailor painter baker soldier singer lawyer driver
builder hunter dancer writer gardener captain student stranger neighbour merchant
engineer mother father sister brother""".split()
THINGS = """apple bottle basket letter window ladder candle hammer blanket pencil
camera carpet pillow ribbon button lantern mirror guitar trumpet kettle teapot wagon
bicycle ticket package umbrella sandwich pumpkin potato cushion""".split()
PLACES = """river mountain village garden kitchen station market castle harbour forest
island bridge valley meadow desert library hospital museum temple factory cottage
tunnel theatre airport""".split()
DID = """carried found painted opened repaired wanted visited watched borrowed dropped
followed remembered cleaned ordered covered lifted noticed collected admired measured
promised delivered protected""".split()
WENT = """walked waited worked travelled rested whispered laughed listened wandered
hurried arrived vanished""".split()
PREPOSITIONS = """near behind beside under inside across around beyond above
towards""".split()
ADVERBS = """slowly quickly never always suddenly yesterday carefully silently often
finally seldom proudly today again""".split()
NUMBERS = """two three four five six seven eight nine ten eleven twelve twenty thirty
forty fifty hundred""".split()
FUNCTION = "the a and was with but from for to".split()


def words() -> set[str]:
    """Every word that a sentence may hold."""
    groups = (NAMES, ADJECTIVES, PEOPLE, THINGS, PLACES, DID, WENT, PREPOSITIONS)
    lists = [*groups, ADVERBS, NUMBERS, FUNCTION, plurals()]
    return {word for group in lists for word in group}


def plurals() -> list[str]:
    """Things, counted."""
    return [plural(thing) for thing in THINGS]


def plural(noun: str) -> str:
    """Plural of one of the grammar's things."""
    if noun.endswith(("ch", "sh", "x", "s")) or noun == "potato":
        return noun + "es"
    return noun + "s"


def sentence(rng: random.Random) -> str:
    """Draw one sentence of four to nine words."""
    pattern = rng.randrange(5)
    if pattern == 0:
        return f"{_who(rng)} {rng.choice(DID)} {_what(rng)}"
    if pattern == 1:
        return f"{_who(rng)} {rng.choice(WENT)} {_where(rng)}"
    if pattern == 2:
        return f"{_who(rng)} {rng.choice(ADVERBS)} {rng.choice(DID)} {_what(rng)}"
    if pattern == 3:
        return f"{_what(rng)} was {rng.choice(ADJECTIVES)} but {_who(rng)} waited"
    return f"{rng.choice(NAMES)} and {_who(rng)} {rng.choice(WENT)} {_where(rng)}"


def _who(rng: random.Random) -> str:
    if rng.random() < 0.35:
        return rng.choice(NAMES)
    if rng.random() < 0.5:
        return f"the {rng.choice(PEOPLE)}"
    return f"the {rng.choice(ADJECTIVES)} {rng.choice(PEOPLE)}"


def _what(rng: random.Random) -> str:
    draw = rng.random()
    if draw < 0.35:
        return f"the {rng.choice(ADJECTIVES)} {rng.choice(THINGS)}"
    if draw < 0.7:
        return f"{rng.choice(NUMBERS)} {plural(rng.choice(THINGS))}"
    return f"a {rng.choice(THINGS)} from the {rng.choice(PLACES)}"


def _where(rng: random.Random) -> str:
    if rng.random() < 0.5:
        return f"{rng.choice(PREPOSITIONS)} the {rng.choice(PLACES)}"
    place = f"the {rng.choice(ADJECTIVES)} {rng.choice(PLACES)}"
    return f"{rng.choice(PREPOSITIONS)} {place}"
