"""Invented names, numbers and things: one generator for each kind of slot.

Entities are invented so that a model cannot know them and has to read. A name belongs to one split
for ever, by a hash of its text, so that no name of the validation data was seen in training.
"""

import hashlib
from collections.abc import Callable
from random import Random

from avalan.data import lexicon as words
from avalan.errors import ConfigurationError

Generator = Callable[[Random], str]

_ONSETS = words.spaced(
    "b br c ch cl cr d dr f fl fr g gl gr h j k kl l m n p pr r s sh sk sl st str t th tr v w y z"
)
_VOWELS = words.spaced("a e i o u a e i o a e ai ea ee oo ou")
_CODAS = words.spaced("b ck d ff g l ll m n nd ng nt p r rd rn rt s sk ss st t th x v")


def pseudo_word(rng: Random, *, syllables: int | None = None) -> str:
    """A pronounceable word that means nothing, in lower case."""
    parts = []
    for _ in range(syllables or rng.choice((1, 2, 2, 2, 3))):
        parts.append(rng.choice(_ONSETS) + rng.choice(_VOWELS))
        if rng.random() < 0.45:
            parts.append(rng.choice(_CODAS))
    word = "".join(parts)
    return word if len(word) > 3 else word + rng.choice(("n", "ra", "lo", "sk", "mer"))


def in_training(name: str) -> bool:
    """Whether an invented name may occur in training data: four in five may."""
    return hashlib.blake2b(name.lower().encode(), digest_size=1).digest()[0] < 204


def fill(slot: str, rng: Random) -> str:
    """Text for the slot called `slot`.

    Raises:
        ConfigurationError: there is no such slot.
    """
    if slot not in SLOTS:
        raise ConfigurationError(f"There is no slot {slot!r}; choose one of: {', '.join(SLOTS)}.")
    return SLOTS[slot](rng)


def _surname(rng: Random) -> str:
    if rng.random() < 0.3:
        return rng.choice(words.SURNAMES)
    word = pseudo_word(rng, syllables=rng.choice((1, 2, 2))).capitalize()
    return word + rng.choice(("", "", "", "son", "er", "ini", "ova", "ley", "sen", "ard"))


def _person(rng: Random) -> str:
    first, last = rng.choice(words.FIRST_NAMES), _surname(rng)
    shape = rng.random()
    if shape < 0.08:
        return f"{rng.choice(('Dr', 'Ms', 'Mr', 'Mrs', 'Professor'))} {last}"
    if shape < 0.14:
        return f"{first} {rng.choice('ABCDEFGHJKLMNPRSTW')}. {last}"
    return f"{first} {last}"


def _place(rng: Random) -> str:
    shape = rng.random()
    if shape < 0.35:
        return rng.choice(words.PLACE_STARTS) + rng.choice(words.PLACE_ENDS)
    name = pseudo_word(rng).capitalize()
    if shape < 0.5:
        return f"{rng.choice(('Port', 'Upper', 'Lower', 'New', 'Saint', 'Mount', 'Old'))} {name}"
    return name + rng.choice(("", "", "", "ton", "ville", "stad", "burg", " Bay", " Hill"))


def _brand(rng: Random) -> str:
    shape = rng.random()
    if shape < 0.3:
        return f"{rng.choice(words.ADJECTIVES).capitalize()} {rng.choice(words.NOUNS).capitalize()}"
    if shape < 0.5:
        return pseudo_word(rng).capitalize() + rng.choice(words.NOUNS)
    return pseudo_word(rng).capitalize()


def _named(*suffixes: str) -> Generator:
    def generate(rng: Random) -> str:
        stem = rng.choice((_brand, _place, _surname))(rng)
        return f"{stem} {rng.choice(suffixes)}"

    return generate


def _the(*suffixes: str) -> Generator:
    inner = _named(*suffixes)
    return lambda rng: ("the " if rng.random() < 0.6 else "") + inner(rng)


def _device(rng: Random) -> str:
    mark = rng.choice(("", f" {rng.randint(2, 99)}", f" {rng.choice('XSTR')}{rng.randint(1, 9)}00"))
    return f"{_brand(rng)}{mark} {rng.choice(words.DEVICES)}"


def _title(rng: Random) -> str:
    adjective, noun = (
        rng.choice(words.ADJECTIVES).capitalize(),
        rng.choice(words.NOUNS).capitalize(),
    )
    other = rng.choice(words.NOUNS).capitalize()
    return rng.choice(
        (f"The {adjective} {noun}", f"{noun} and {other}", f"A {noun} in {_place(rng)}",
         f"The {noun} of {_place(rng)}", f"{adjective} {noun}s")
    )  # fmt: skip


def _date(rng: Random) -> str:
    day, month, year = rng.randint(1, 28), rng.choice(words.MONTHS), rng.randint(1780, 2031)
    return rng.choice(
        (f"{day} {month} {year}", f"{month} {day}, {year}", f"{day} {month}",
         f"{year}-{words.MONTHS.index(month) + 1:02d}-{day:02d}", f"{month} {year}")
    )  # fmt: skip


def _time(rng: Random) -> str:
    hour, minute = rng.randint(1, 12), rng.choice(("00", "15", "30", "45", "05", "20", "50"))
    return rng.choice(
        (f"{hour + rng.choice((0, 11))}:{minute}", f"{hour} {rng.choice(('am', 'pm'))}",
         f"half past {words.NUMBERS[hour]}", f"{hour}.{minute} p.m.",
         f"{words.NUMBERS[hour]} o'clock")
    )  # fmt: skip


def _hours(rng: Random) -> str:
    start, end = rng.randint(6, 11), rng.randint(12, 23)
    return rng.choice(
        (f"{start}:00 to {end}:30", f"{start} am to {end - 11} pm", f"{start:02d}:30–{end}:00")
    )


def _money(rng: Random) -> str:
    amount = rng.choice((rng.randint(1, 99), rng.randint(100, 999), rng.randint(10, 99) * 100))
    text = f"{amount:,}" + rng.choice(("", "", "", ".50", ".99"))
    return rng.choice((f"£{text}", f"${text}", f"€{text}", f"{text} euros", f"{text} crowns"))


def _count(rng: Random) -> str:
    number = rng.choice((rng.randint(2, 12), rng.randint(13, 99), rng.randint(100, 9999)))
    if number <= 12 and rng.random() < 0.6:
        return words.NUMBERS[number]
    return f"{number:,}" if rng.random() < 0.7 else str(number)


def _quantity(*units: str, low: int = 2, high: int = 400) -> Generator:
    def generate(rng: Random) -> str:
        number = str(rng.randint(low, high))
        if rng.random() < 0.25:
            number += f".{rng.randint(1, 9)}"
        return f"{number} {rng.choice(units)}"

    return generate


def _duration(rng: Random) -> str:
    number = rng.randint(2, 90)
    unit = rng.choice(("minutes", "hours", "days", "weeks", "months", "years", "seconds"))
    return f"{words.NUMBERS[number] if number <= 12 and rng.random() < 0.6 else number} {unit}"


def _code(rng: Random) -> str:
    letters = "".join(rng.choices("ABCDEFGHJKLMNPQRSTUVWXYZ", k=rng.randint(1, 3)))
    return f"{letters}{rng.choice(('-', '-', '', '/', ' '))}{rng.randint(10, 9999)}"


def _setting(rng: Random) -> str:
    return "_".join(rng.sample(words.SETTING_WORDS, rng.choice((2, 2, 3))))


def _command(rng: Random) -> str:
    return f"{pseudo_word(rng, syllables=1)} {rng.choice(words.VERBS)}" + rng.choice(
        ("", f" --{rng.choice(words.SETTING_WORDS)}", f" -{rng.choice('abfnqrvx')}")
    )


def _filename(rng: Random) -> str:
    return f"{rng.choice((pseudo_word(rng), _setting(rng)))}.{rng.choice(words.EXTENSIONS)}"


def _domain(rng: Random) -> str:
    return f"{pseudo_word(rng)}.{rng.choice(('example', 'test', 'org', 'net', 'example.com'))}"


def _choice(options: tuple[str, ...]) -> Generator:
    return lambda rng: rng.choice(options)


SLOTS: dict[str, Generator] = {
    # what passages are about
    "person": _person,
    "place": _place,
    "company": _named("Ltd", "& Sons", "Works", "Group", "Mills", "Foods", "Systems", "Brothers"),
    "product": _device,
    "device": _device,
    "machine": _device,
    "software": lambda rng: (
        _brand(rng).replace(" ", "") + rng.choice(("", "", " Studio", "DB", "Kit"))
    ),
    "team": _named("Rovers", "United", "Hawks", "Athletic", "Rowing Club", "Bears", "Wanderers"),
    "book": _title,
    "game": _title,
    "title": _title,
    "event": _named("Fair", "Conference", "Marathon", "Open Day", "Summit", "Parade", "Regatta"),
    "festival": _named("Festival", "Carnival", "Music Week", "Lantern Night", "Harvest Fair"),
    "building": _the("Hall", "Tower", "Library", "House", "Theatre", "Lighthouse", "Mill"),
    "museum": _the("Museum", "Gallery", "Collection", "Heritage Centre", "Archive"),
    "course": _named("course", "workshop", "certificate", "evening class", "seminar"),
    "ship": lambda rng: (
        rng.choice(("the ", "the SS ", "the MV ", "")) + _title(rng).removeprefix("The ")
    ),
    "animal_name": lambda rng: f"{rng.choice(words.ADJECTIVES)} {pseudo_word(rng)}",
    "species": lambda rng: (
        f"the {rng.choice((_place(rng), rng.choice(words.ADJECTIVES)))} {rng.choice(words.ANIMALS)}"
    ),
    "plant_name": lambda rng: f"{_brand(rng)} {rng.choice(words.PLANTS)}",
    "recipe": lambda rng: f"{rng.choice((_surname, _place))(rng)} {rng.choice(words.DISHES)}",
    "contract": lambda rng: (
        f"the {_place(rng)} {rng.choice(('lease', 'agreement', 'contract', 'tenancy'))}"
    ),
    "policy": lambda rng: f"the {_brand(rng)} {rng.choice(words.POLICIES)} policy",
    "project": lambda rng: (
        f"{rng.choice(('Project ', 'the '))}{_brand(rng)}{rng.choice(('', ' project'))}"
    ),
    "clinic": _the("Clinic", "Surgery", "Medical Practice", "Dental Centre", "Health Centre"),
    "river": lambda rng: (
        f"the {pseudo_word(rng).capitalize()}"
        if rng.random() < 0.5
        else f"the River {pseudo_word(rng).capitalize()}"
    ),
    "railway": _the("line", "Railway", "Light Railway", "tramway", "branch line"),
    "school": _named("School", "Academy", "College", "Primary School", "Institute"),
    "club": _named("Club", "Society", "Choir", "Circle", "Association", "Guild"),
    "order": lambda rng: f"order {_code(rng)}",
    "garden": _the("Garden", "Park", "Orchard", "Allotments", "Arboretum"),
    "road": _named("Road", "Lane", "Street", "Avenue", "Bridge"),
    "meeting": lambda rng: f"the {rng.choice((_brand(rng), _date(rng)))} meeting",
    # what questions ask for
    "date": _date,
    "year": lambda rng: str(rng.randint(1650, 2040)),
    "month": _choice(words.MONTHS),
    "weekday": _choice(words.WEEKDAYS),
    "time": _time,
    "hours": _hours,
    "money": _money,
    "count": _count,
    "percent": lambda rng: f"{rng.randint(1, 99)}{rng.choice(('%', '%', ' per cent', '.5%'))}",
    "duration": _duration,
    "distance": _quantity("km", "miles", "metres", "kilometres"),
    "weight": _quantity("kg", "grams", "tonnes", "pounds", "g"),
    "length": _quantity("cm", "metres", "mm", "feet", "m"),
    "temperature": _quantity("°C", "degrees", "°F", low=-20, high=250),
    "speed": _quantity("km/h", "mph", "knots", "rpm"),
    "area": _quantity("hectares", "square metres", "acres", "sq km"),
    "volume": _quantity("litres", "ml", "gallons", "cubic metres"),
    "age": lambda rng: str(rng.randint(3, 99)),
    "email": lambda rng: (
        f"{rng.choice((pseudo_word(rng), 'info', 'help', 'office'))}@{_domain(rng)}"
    ),
    "phone": lambda rng: (
        f"0{rng.randint(10, 99)} {rng.randint(100, 999)} {rng.randint(1000, 9999)}"
    ),
    "code": _code,
    "version": lambda rng: ".".join(str(rng.randint(0, 14)) for _ in range(rng.choice((2, 3)))),
    "url": lambda rng: f"{rng.choice(('www.', 'https://', ''))}{_domain(rng)}/{pseudo_word(rng)}",
    "colour": _choice(words.COLOURS),
    "material": _choice(words.MATERIALS),
    "job": _choice(words.JOBS),
    "department": _choice(words.DEPARTMENTS),
    "food": _choice(words.FOODS),
    "drink": _choice(words.DRINKS),
    "animal": _choice(words.ANIMALS),
    "plant": _choice(words.PLANTS),
    "country": _choice(words.COUNTRIES),
    "language": _choice(words.LANGUAGES),
    "instrument": _choice(words.INSTRUMENTS),
    "sport": _choice(words.SPORTS),
    "subject_name": _choice(words.SUBJECTS),
    "building_type": _choice(words.BUILDINGS),
    "vehicle_type": _choice(words.VEHICLES),
    "score": lambda rng: f"{rng.randint(0, 9)}{rng.choice(('-', '–', ' to '))}{rng.randint(0, 9)}",
    "ordinal": _choice(words.ORDINALS),
    "filename": _filename,
    "setting": _setting,
    "command": _command,
}
