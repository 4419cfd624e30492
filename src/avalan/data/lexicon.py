"""Word lists for the slot generators: ordinary words, none of them a fact."""

from functools import cache
from importlib.resources import files


@cache
def common_words() -> tuple[str, ...]:
    """About 3,500 common English words, most frequent first."""
    return tuple((files("avalan.data") / "common_words.txt").read_text(encoding="utf-8").split())


def spaced(text: str) -> tuple[str, ...]:
    """Words between spaces."""
    return tuple(text.split())


def listed(text: str) -> tuple[str, ...]:
    """Phrases between commas."""
    return tuple(part.strip() for part in text.split(",") if part.strip())


FIRST_NAMES = spaced(
    "Ada Agnes Ahmed Aisha Alan Albert Alice Amara Amir Ana Anders Andrea Anita Anna Arthur Astrid "
    "Bea Ben Bianca Boris Brigid Bruno Carla Carlos Carmen Cecil Chen Chloe Clara Daniel David "
    "Deepa Diego Dmitri Dora Edgar Edith Elena Eli Elsa Emil Emma Enzo Esther Eva Farah Felix "
    "Fiona Frank Freya Georg Grace Greta Hana Hannah Harold Hassan Helen Henry Hugo Ida Ines "
    "Ingrid Irene Isaac Ivan Ivy Jack Jamal James Jana Jane Joan Joel Johan Jonas Jorge Judith "
    "Julia Kai Karim Karl Kate Kenji Kiran Lars Laura Leila Leo Lina Liam Lola Louis Lucia Lukas "
    "Magda Malik Marcus Maria Marta Martin Maud Max Maya Mei Milan Mina Mira Mohan Nadia Nell Nico "
    "Nina Noah Nora Olga Oliver Omar Oscar Otto Pablo Paula Pedro Petra Philip Priya Rafael Rahul "
    "Ravi Rita Robert Rosa Ruth Sam Samira Sara Selma Simon Sofia Stefan Susan Tara Thomas Tilda "
    "Tom Uma Ursula Vera Victor Viola Walter Wanda Wei Yara Yusuf Zara Zoe"
)
SURNAMES = spaced(
    "Abbott Adler Bakker Barros Becker Bell Bianchi Blake Brandt Brill Brooks Carter Castro "
    "Chandra Clarke Costa Cruz Dahl Dixon Doyle Duarte Ellis Farrow Fischer Fleming Foster Fox "
    "Garcia Grant Gupta Hale Hansen Harper Haas Holt Hughes Ito Ivanov Jansen Kaya Keller Khan Kim "
    "Kowalski Lang Larsen Lee Lopez Lund Mann Marsh Mendez Meyer Moreau Moss Nair Novak Okafor "
    "Olsen Ortiz Owens Park Patel Perry Petrov Pike Quinn Rao Reyes Rossi Ryan Sato Shaw Silva "
    "Singh Stone Suzuki Tan Torres Vance Vega Wagner Walsh Weber West Wood Wren Yamada Young Zhou"
)
PLACE_STARTS = spaced(
    "Ash Beck Black Bram Bright Brook Clay Cold Copper Crow East Elm Fair Fen Flint Fox Glen Gold "
    "Grey Hart Hay Hazel High Iron Kings Lake Lark Lin Long Marsh Mill Moor North Oak Otter Pine "
    "Raven Red Ridge Rose Salt Sand Silver Stone South Swan Thorn West Wheat White Willow Winter "
    "Wolf"
)
PLACE_ENDS = spaced(
    "bridge brook burn bury by cliff combe cross dale den field ford gate grove ham haven hill "
    "holm hurst ley market mere mouth mill moor pool port shaw stead stone thorpe ton vale water "
    "well wick wood worth"
)
ADJECTIVES = spaced(
    "amber ancient blue bold brave bright broken calm clear clever cold crimson deep distant dusty "
    "early eastern empty fast fine first frozen gentle golden grand green grey happy heavy hidden "
    "hollow honest humble iron ivory keen last little lonely long lost loud lucky narrow new noble "
    "northern old open pale patient plain proud quick quiet rare red round rough salty scarlet "
    "second secret sharp short silent silver simple slow small smooth soft southern spotted steady "
    "stone striped strong sunny swift tall tidy tiny velvet warm western white wild wooden young"
)
NOUNS = spaced(
    "acorn anchor apple arch arrow barn basket beacon bell bird boat book bottle branch bridge "
    "candle castle cloud clock coast coin compass crane creek crown cup door dream drum eagle "
    "ember falcon feather fern field fire fish flag flame forest fox garden gate ghost glass "
    "harbor hare heart hill horn horse island key kite ladder lake lamp lantern leaf letter light "
    "lion map maple market meadow mill mirror moon mountain night oak ocean orchard otter owl path "
    "pearl pepper piano pine planet pond quill rain raven reed ridge ring river road robin rocket "
    "root rope rose sail salt sea seed shadow shell ship shore sky snow spark spring star station "
    "stone storm stream sun swallow table thistle thorn tide tiger tower trail train tree tunnel "
    "valley wagon wall water wave well wheel willow wind window wing winter wolf wood wren"
)
DEVICES = spaced(
    "kettle toaster lamp printer router camera drill mower heater fan scale blender oven radio "
    "speaker keyboard monitor scanner thermostat vacuum fridge dishwasher pump compressor saw "
    "lathe bicycle scooter tent backpack stove watch headset projector freezer mixer grinder "
    "sensor charger"
)
POLICIES = listed(
    "travel, leave, refund, expenses, remote work, returns, privacy, security, parking, training, "
    "sick leave, overtime, dress, delivery, complaints, warranty, visitor, data retention, pet, "
    "parental leave, equipment, late payment, cancellation, recycling"
)
DISHES = spaced(
    "soup stew pie cake bread pudding dumplings salad curry tart biscuits casserole noodles "
    "pancakes chutney goulash risotto omelette cookies loaf broth jam relish pastries"
)
VERBS = spaced(
    "build check clean copy deploy export fetch import init install list merge open pull push "
    "reset restore run save scan serve start status stop sync test trace update verify watch"
)
SETTING_WORDS = spaced(
    "auto backup batch cache check client color count debug default delay depth disk dry error "
    "file font force format group height host idle index input interval key language level limit "
    "line local lock log max memory merge min mode name network output page path poll pool port "
    "prefix queue rate read remote retries retry root save scale scan server session size sleep "
    "sort source start step strict sync target temp theme threads time timeout token trace update "
    "url user verbose watch width worker write zoom"
)
EXTENSIONS = spaced("txt md csv json toml yaml log cfg ini py sh sql xml html pdf zip")
MONTHS = spaced(
    "January February March April May June July August September October November December"
)
WEEKDAYS = spaced("Monday Tuesday Wednesday Thursday Friday Saturday Sunday")
NUMBERS = spaced("zero one two three four five six seven eight nine ten eleven twelve")
ORDINALS = spaced("first second third fourth fifth sixth seventh eighth ninth tenth twelfth")
COLOURS = listed(
    "red, blue, green, yellow, orange, purple, pink, brown, black, white, grey, silver, gold, "
    "dark green, pale blue, navy, turquoise, cream, scarlet, olive, violet, amber, beige, maroon"
)
MATERIALS = listed(
    "oak, pine, steel, copper, brass, glass, clay, leather, wool, cotton, linen, silk, granite, "
    "marble, brick, concrete, plastic, rubber, bamboo, aluminium, iron, paper, cork, bronze, "
    "titanium, sandstone, recycled plastic, carbon fibre, slate, birch"
)
JOBS = listed(
    "teacher, nurse, baker, carpenter, engineer, pilot, plumber, farmer, librarian, architect, "
    "dentist, painter, tailor, surgeon, lawyer, clerk, gardener, journalist, chemist, blacksmith, "
    "translator, electrician, photographer, accountant, bus driver, midwife, judge, fisherman, "
    "geologist, violinist, watchmaker, beekeeper, mechanic, editor, cook, shepherd, postman, welder"
)
DEPARTMENTS = listed(
    "accounts, human resources, sales, marketing, legal, purchasing, customer service, "
    "engineering, logistics, research, facilities, security, quality control, design, the "
    "warehouse, finance, IT support, the front office, maintenance, payroll"
)
FOODS = listed(
    "bread, rice, lentils, cheese, eggs, salmon, chicken, potatoes, carrots, spinach, mushrooms, "
    "apples, pears, plums, walnuts, almonds, honey, butter, yoghurt, oats, barley, beans, onions, "
    "garlic, ginger, cinnamon, parsley, olives, tomatoes, peppers, pumpkin, cabbage, beetroot, "
    "chocolate, raisins, smoked trout, goat cheese, rye flour, brown sugar, black pepper"
)
DRINKS = listed(
    "tea, coffee, milk, apple juice, cider, beer, red wine, lemonade, hot chocolate, mint tea, "
    "ginger beer, cold water, elderflower cordial, white wine, buttermilk, orange juice"
)
ANIMALS = spaced(
    "fox hare owl otter beetle frog lizard heron salmon moth bear wolf deer badger squirrel crow "
    "eagle falcon snail crab seal whale dolphin bat hedgehog mouse rat pigeon swan goose duck toad "
    "newt trout eel spider bee wasp ant butterfly goat sheep pony donkey parrot monkey turtle"
)
PLANTS = spaced(
    "rose lily tulip fern oak ash birch maple pine cedar holly ivy heather thistle daisy poppy "
    "lavender sage thyme mint basil clover orchid iris violet nettle willow apple plum cherry pear "
    "bean pea squash tomato pepper moss reed bamboo lilac magnolia peony"
)
COUNTRIES = listed(
    "France, Spain, Portugal, Italy, Germany, Austria, Poland, Norway, Sweden, Finland, Denmark, "
    "Ireland, Greece, Turkey, Egypt, Kenya, Ghana, Morocco, India, Nepal, China, Japan, Vietnam, "
    "Thailand, Australia, New Zealand, Canada, Mexico, Brazil, Chile, Peru, Argentina, Iceland, "
    "Hungary, Romania, Croatia, Estonia, Belgium, Switzerland, South Korea"
)
LANGUAGES = listed(
    "French, Spanish, Portuguese, Italian, German, Polish, Norwegian, Swedish, Finnish, Danish, "
    "Greek, Turkish, Arabic, Swahili, Hindi, Mandarin, Japanese, Vietnamese, Thai, Welsh, Latin, "
    "Dutch, Russian, Hungarian, Korean, Catalan, Icelandic, Irish"
)
INSTRUMENTS = listed(
    "violin, cello, piano, flute, trumpet, guitar, drums, harp, clarinet, accordion, organ, banjo, "
    "oboe, bassoon, viola, double bass, saxophone, recorder, trombone, mandolin"
)
SPORTS = listed(
    "football, rugby, tennis, rowing, swimming, cricket, hockey, chess, archery, fencing, cycling, "
    "judo, volleyball, basketball, badminton, sailing, skiing, climbing, boxing, handball"
)
SUBJECTS = listed(
    "mathematics, history, geography, biology, chemistry, physics, art, music, drama, economics, "
    "Latin, computing, literature, philosophy, statistics, religious studies, woodwork"
)
BUILDINGS = listed(
    "church, school, factory, hospital, warehouse, barn, library, theatre, prison, mill, hotel, "
    "railway station, bank, town hall, cinema, bakery, chapel, stable, lighthouse, brewery"
)
VEHICLES = listed(
    "bus, van, tram, lorry, minibus, bicycle, tractor, ferry, taxi, helicopter, ambulance, barge, "
    "motorcycle, sleeper train, cable car, fire engine, electric car, rowing boat"
)
