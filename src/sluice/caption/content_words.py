"""The words of a caption that say something: things, colours, numbers, actions; not articles, pronouns and the like.

Known of English, German, French and Spanish: function words are listed here, and inflected forms are brought together
by Snowball's stemmers ("dogs" and "dog", "rote" and "roter"). Nothing tells nouns from verbs: what is no function
word counts. Other languages are not supported, and are refused rather than done badly.
"""

from __future__ import annotations

from functools import cache
from typing import Any, Final

from sluice.errors import SluiceError
from sluice.measures.words import words

_FUNCTION_WORDS: Final = {
    "en": """a an the this that these those some any each every both all another other others such
        i you he she it we they me him her us them my your his its our their who whom whose which what
        be is are was were been being am do does did done have has had having can could may might must shall should
        will would and or but nor so if than then as while when where because though although
        of in on at by to from with without into onto over under above below between among behind beside near next
        around through across along against about for off up down out inside outside toward towards upon within
        there here very more most much many few several not no only also just too quite rather
        image images photo photos photograph picture pictures scene view shot close-up
        show shows showing shown see seen depict depicts depicting feature features featuring appear appears seems
        visible which's it's there's that's front back top bottom side foreground background""",
    "de": """ein eine einen einem einer eines der die das den dem des dieser diese dieses diesen diesem jener jene jenes
        kein keine keinen keinem keiner alle alles jeder jede jedes beide beiden andere anderen anderer anderes mehrere
        ich du er sie es wir ihr mich dich ihn uns euch ihm ihnen mein dein sein seine seinen seiner ihre ihren ihrer
        wer was welcher welche welches man sich ist sind war waren sein gewesen hat haben hatte wird werden wurde kann
        können könnte muss müssen soll sollte darf und oder aber sondern doch denn wenn als wie dass weil während wo
        in im an am auf aus bei beim mit ohne nach von vom vor zu zum zur über unter neben zwischen hinter um durch
        gegen für bis entlang da dort hier sehr mehr viel viele wenige einige nicht nur auch noch
        bild bilder foto fotos aufnahme szene ansicht zeigt zeigen sieht sehen gesehen sichtbar abgebildet dargestellt
        befindet befinden steht liegt vorne hinten oben unten vordergrund hintergrund seite""",
    "fr": """un une des le la les l d du de ce cet cette ces chaque tout toute tous toutes aucun aucune autre autres
        plusieurs quelques je tu il elle on nous vous ils elles me te se lui leur leurs y en mon ton son ma ta sa mes
        tes ses notre votre qui que quoi dont où lequel laquelle est sont était étaient être été a ont avait avoir eu
        fait peut peuvent doit et ou mais ni donc car si comme quand lorsque tandis pendant parce
        à au aux dans sur sous avec sans pour par vers chez entre contre derrière devant près autour dessus dessous
        côté au-dessus au-dessous là ici très plus moins beaucoup peu ne pas seulement aussi
        image images photo photos photographie scène vue montre montrent montrant voit voir vu visible représente
        trouve trouvent premier arrière-plan fond haut bas c'est qu'il qu'elle qu'on""",
    "es": """un una unos unas el la los las lo al del de este esta estos estas ese esa esos esas aquel aquella cada todo
        toda todos todas ningún ninguna otro otra otros otras varios varias algunos algunas yo tú él ella ello nosotros
        ustedes ellos ellas me te se le les nos su sus mi tu nuestro quien quién que qué cual cuyo donde es son era eran
        ser sido está están estaba estaban estar hay ha han había haber tiene tienen puede pueden debe y e o u pero ni
        sino si como cuando mientras porque a ante bajo con contra desde en entre hacia hasta para por según sin sobre
        tras junto cerca detrás delante encima debajo dentro fuera alrededor allí ahí aquí muy más menos mucho poco
        no sólo solo también imagen imágenes foto fotos fotografía escena vista muestra muestran mostrando ve ven ver
        visto visible aparece aparecen encuentra encuentran fondo frente arriba abajo lado""",
}
_NUMBERS: Final = {
    "en": "one two three four five six seven eight nine ten eleven twelve",
    "de": "eins zwei drei vier fünf sechs sieben acht neun zehn elf zwölf",  # "ein" is the article
    "fr": "- deux trois quatre cinq six sept huit neuf dix onze douze",  # "un" is the article
    "es": "uno dos tres cuatro cinco seis siete ocho nueve diez once doce",
}
_SAME: Final = {"grey": "gray", "colour": "color", "colours": "colors", "tyre": "tire", "aeroplane": "airplane"}
_STEMMERS: Final = {"en": "english", "de": "german", "fr": "french", "es": "spanish"}

LANGUAGES: Final = tuple(_STEMMERS)


def content_words(text: str, language: str) -> dict[str, str]:
    """The content words of `text` by their stems, in order, each as it is first written; numbers as digits.

    >>> content_words("Two brown dogs and a grey cat on the sofa", "en")
    {'2': 'two', 'brown': 'brown', 'dog': 'dogs', 'gray': 'grey', 'cat': 'cat', 'sofa': 'sofa'}
    """
    primary = language.partition("-")[0].lower()
    if primary not in _STEMMERS:
        raise SluiceError(f"content words are known of {', '.join(LANGUAGES)}, and not of {language}")
    function_words, numbers = _lists(primary)
    stem = _stemmer(primary).stemWord
    found: dict[str, str] = {}
    for word in words(text.replace("’", "'")):
        bare = word.rpartition("'")[2] if primary == "fr" else word.removesuffix("'s")
        if bare in function_words or (len(bare) < 2 and not bare.isdigit()):
            continue
        found.setdefault(numbers.get(bare) or stem(_SAME.get(bare, bare)), word)
    return found


@cache
def _lists(language: str) -> tuple[frozenset[str], dict[str, str]]:
    numbers = {word: str(number) for number, word in enumerate(_NUMBERS[language].split(), 1)}
    return frozenset(_FUNCTION_WORDS[language].split()), numbers


@cache
def _stemmer(language: str) -> Any:
    import snowballstemmer

    return snowballstemmer.stemmer(_STEMMERS[language])
