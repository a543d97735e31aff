"""Captions that say "this is a picture" or "click here" and next to nothing about what is to be seen.

A phrase alone does not condemn a caption: what is left without the phrases decides. After a lead-in ("image of",
"photo", "das Bild zeigt") one content word is enough, so "a photo of a dog" is a caption; a notice ("click to
enlarge", "stock photo", "all rights reserved") must leave two, so "stock photo, dog" is not. Content words are
those of two letters or more (one character in Chinese or Japanese) that are neither numbers nor articles,
prepositions or the like.
"""

from __future__ import annotations

from typing import Final

from sluice.measures.words import is_ideograph, words

_LEAD_INS: Final = """
image of product|image of|image showing|images showing|image|images|photo of|photograph of|photos of|photo|photos
photograph|photography|picture of|pictures of|picture|pictures|pic of|pic|pics|view of|close up of|close up
shot of|the image shows|this image shows|the photo shows|this photo shows|the picture shows|this picture shows
this is an image of|this is a photo of|this is a picture of|product image|product photo|featured image
cover image|main image|profile picture|thumbnail|illustration of|illustration|drawing of|image result for|file photo
hero image|header image|background image|wallpaper
bild von|bilder von|bild|bilder|foto von|fotos von|foto|fotos|das bild zeigt|dieses bild zeigt|das foto zeigt
auf dem bild|auf dem foto|produktbild|produktfoto|beispielbild|vorschaubild|titelbild|profilbild|abbildung von
abbildung
ansicht von|aufnahme von|fotografie von|symbolfoto|symbolbild
image de|images de|photo de|photos de|photographie de|photographie|l'image montre|cette image montre|la photo montre
cette photo montre|image du produit|photo du produit|image à la une|vue de|illustration de|photo d'illustration
imagen de|imágenes de|imagen|imágenes|foto de|fotos de|fotografía de|fotografía|la imagen muestra|esta imagen muestra
la foto muestra|esta foto muestra|imagen del producto|foto del producto|imagen destacada|vista de|ilustración de
"""
_NOTICES: Final = """
click to enlarge|click on image to enlarge|click image to enlarge|click to zoom|click to view|click here
click for more
click for details|tap to enlarge|enlarge image|enlarge|view larger image|view full size|view larger|larger image
full size image|zoom in|stock photo|stock photos|stock photography|stock image|stock images|stock illustration
stock vector|stock footage|royalty free|no caption|no caption available|no description|no description available
no title|untitled|no image available|no image|image not available|image not found|image unavailable
image coming soon|photo coming soon|picture not available|no photo available|no photo|no alt text|alt text
image placeholder|placeholder
placeholder image|image may contain|image credit|photo credit|photo by|image by|image via|photo via|picture credit
credit|courtesy of|image source|photo source|source|share on facebook|share on twitter|share on pinterest
share on linkedin|share on whatsapp|share this|share|tweet|pin it|save to pinterest|like us on facebook|follow us
follow us on instagram|subscribe|sign up|log in|read more|learn more|see more|view more|show more|load more
more details|buy now|add to cart|add to wishlist|shop now|order now|free shipping|in stock|out of stock|sold out
download|download image|free download|print|all rights reserved|copyright|rights reserved|view gallery|photo gallery
image gallery|gallery image|gallery|slideshow|advertisement|sponsored|loading|please wait|embed|watermark|logo
javascript is disabled|your browser does not support|cookie policy|privacy policy|terms of use
zum vergrößern klicken|klicken sie zum vergrößern|klicken zum vergrößern|hier klicken|bild vergrößern|vergrößern
für größere ansicht klicken|archivbild|archivfoto|stockfoto|lizenzfrei|keine beschreibung|keine bildbeschreibung
ohne titel|kein bild verfügbar|kein bild vorhanden|bild nicht verfügbar|bildquelle|bildnachweis|quelle|foto by
auf facebook teilen|auf twitter teilen|teilen|mehr lesen|weiterlesen|mehr erfahren|mehr anzeigen|jetzt kaufen
in den warenkorb|alle rechte vorbehalten|bildergalerie|anzeige|werbung|herunterladen|platzhalter
cliquez pour agrandir|cliquer pour agrandir|cliquez sur l'image pour l'agrandir|cliquez ici|agrandir l'image|agrandir
photo libre de droits|libre de droits|banque d'images|sans légende|aucune légende|sans titre|aucune description
pas de description|image non disponible|image indisponible|aucune image|crédit photo|crédits photo
photo non contractuelle|partager sur facebook|partager sur twitter|partager|lire la suite|en savoir plus
voir plus|acheter maintenant|ajouter au panier|tous droits réservés|galerie|publicité|télécharger
haga clic para ampliar|haz clic para ampliar|clic para ampliar|pulsa para ampliar|pulse para ampliar|ampliar imagen
ampliar|haga clic aquí|haz clic aquí|foto de archivo|foto de stock|imagen de stock|libre de derechos|sin descripción
sin título|sin leyenda|sin pie de foto|imagen no disponible|sin imagen|crédito de la foto|compartir en facebook
compartir en twitter|compartir|leer más|ver más|saber más|comprar ahora|añadir al carrito
todos los derechos reservados
galería|publicidad|descargar
"""
_HAN_LEAD_INS: Final = (
    "这是一张|这是一幅|这张|一张|一幅|的图片|的照片|的图像|的圖片|图片展示了|照片展示了|图片显示|图片|图像|照片|相片|圖片|圖像|插图|示意图|产品图|商品图"
    "|の画像|の写真|画像|写真"
)
_HAN_NOTICES: Final = (
    "点击查看大图|点击放大图片|点击图片放大|点击放大|点击这里|查看大图|查看原图|點擊放大|图库照片|图库图片|素材图片|暂无图片|暂无描述|暂无说明|暂无标题|没有标题"
    "|无标题|无说明|无描述|图片来源|来源|分享到微信|分享到微博|分享到朋友圈|分享到脸书|分享到|分享|阅读更多|查看更多|了解更多|查看详情|立即购买|加入购物车|版权所有"
    "|保留所有权利|侵权必究|加载中|下载|广告|占位图|クリックして拡大|拡大画像|画像なし|無断転載禁止|シェアする"
)

_FILLERS: Final = """
a an the of in on at by for from to and or with is are this that these it its you your here please our we us as via
der die das ein eine einer eines einem einen den dem des von vom im in am an auf und oder mit zu zum zur ist für bei
sie hier bitte le la les l un une des du de d' et ou avec sur dans à au aux en est pour par cette ce ici
el los las una unos unas del y o con sobre al es para por este esta aquí su
的 了 在 和 是 与 一 个 张 幅 这 の を は が に
jpg jpeg png gif webp pdf www com http https inc ltd gmbh
"""


_LONGEST: Final = 60  # words; a longer text has something to say, or `repeated_word_share` tells

_Phrases = dict[str, list[tuple[tuple[str, ...], bool]]]


def _by_first_word() -> _Phrases:
    """Every phrase as its words, with whether it is a notice, under its first word; the longest come first."""
    phrases: _Phrases = {}
    for listed, notice in ((f"{_LEAD_INS}|{_HAN_LEAD_INS}", False), (f"{_NOTICES}|{_HAN_NOTICES}", True)):
        for phrase in listed.replace("\n", "|").split("|"):
            for spelling in {phrase, phrase.replace("'", "’")}:
                if split := _split(words(spelling)):
                    phrases.setdefault(split[0], []).append((tuple(split), notice))
    for same_start in phrases.values():
        same_start.sort(key=lambda phrase: -len(phrase[0]))
    return phrases


def _split(found: list[str]) -> list[str]:
    """`found` with hyphens parting words: "stock-photo" is the phrase "stock photo"."""
    return [part for word in found for part in word.split("-")] if any("-" in word for word in found) else found


_STOP_WORDS: Final = frozenset(_FILLERS.split())
_PHRASES: Final = _by_first_word()


def is_boilerplate(found: list[str]) -> bool:
    """Whether little is left of a text without its boilerplate; `found` holds its `words`.

    >>> [is_boilerplate(words(text)) for text in ("Click to enlarge", "Product image 3", "stock photo: dog")]
    [True, True, True]
    >>> [is_boilerplate(words(text)) for text in ("An image of a red cube", "photo of a dog", "a dog")]
    [False, False, False]
    """
    found = _split(found)
    if len(found) > _LONGEST or _PHRASES.keys().isdisjoint(found):
        return False
    phrases = notices = position = 0
    rest: list[str] = []
    while position < len(found):
        word = found[position]
        length = 0
        for phrase, notice in _PHRASES.get(word, ()):
            if phrase == tuple(found[position : position + len(phrase)]):
                length = len(phrase)
                phrases += 1
                notices += notice
                break
        if length == 0:
            rest.append(word)
        position += length or 1
    return phrases > 0 and sum(map(_is_content, rest)) < (2 if notices else 1)


def _is_content(word: str) -> bool:
    """Whether a word can say something about a picture."""
    if word[1:2] in ("'", "’"):
        word = word[2:]  # l'eau, d'un
    if word in _STOP_WORDS or not any(map(str.isalpha, word)):
        return False
    return len(word) > 1 or is_ideograph(word)
