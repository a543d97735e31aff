"""Which script a text is written in, and what its Han characters tell.

Script is evidence that no statistical model beats: kana is Japanese, Hangul Korean, and a character that only the
simplification of 1956 or only the Japanese reform of 1946 made says more than any frequency.
"""

from __future__ import annotations

from bisect import bisect_right
from collections import Counter
from typing import Final

# First and last code point, ISO 15924 code. Blocks of the living scripts that some language of ours is written in.
_BLOCKS: Final = (
    (0x0041, 0x024F, "Latn"),
    (0x0250, 0x02AF, "Latn"),
    (0x0370, 0x03FF, "Grek"),
    (0x0400, 0x052F, "Cyrl"),
    (0x0531, 0x058F, "Armn"),
    (0x0590, 0x05FF, "Hebr"),
    (0x0600, 0x06FF, "Arab"),
    (0x0750, 0x077F, "Arab"),
    (0x0780, 0x07BF, "Thaa"),
    (0x08A0, 0x08FF, "Arab"),
    (0x0900, 0x097F, "Deva"),
    (0x0980, 0x09FF, "Beng"),
    (0x0A00, 0x0A7F, "Guru"),
    (0x0A80, 0x0AFF, "Gujr"),
    (0x0B00, 0x0B7F, "Orya"),
    (0x0B80, 0x0BFF, "Taml"),
    (0x0C00, 0x0C7F, "Telu"),
    (0x0C80, 0x0CFF, "Knda"),
    (0x0D00, 0x0D7F, "Mlym"),
    (0x0D80, 0x0DFF, "Sinh"),
    (0x0E00, 0x0E7F, "Thai"),
    (0x0E80, 0x0EFF, "Laoo"),
    (0x0F00, 0x0FFF, "Tibt"),
    (0x1000, 0x109F, "Mymr"),
    (0x10A0, 0x10FF, "Geor"),
    (0x1100, 0x11FF, "Hang"),
    (0x1200, 0x139F, "Ethi"),
    (0x1780, 0x17FF, "Khmr"),
    (0x1C80, 0x1C8F, "Cyrl"),
    (0x1C90, 0x1CBF, "Geor"),
    (0x1E00, 0x1EFF, "Latn"),
    (0x1F00, 0x1FFF, "Grek"),
    (0x2C60, 0x2C7F, "Latn"),
    (0x2D00, 0x2D2F, "Geor"),
    (0x2D80, 0x2DDF, "Ethi"),
    (0x2DE0, 0x2DFF, "Cyrl"),
    (0x3005, 0x3007, "Hani"),
    (0x3040, 0x30FF, "Kana"),
    (0x3130, 0x318F, "Hang"),
    (0x31F0, 0x31FF, "Kana"),
    (0x3400, 0x4DBF, "Hani"),
    (0x4E00, 0x9FFF, "Hani"),
    (0xA640, 0xA69F, "Cyrl"),
    (0xA720, 0xA7FF, "Latn"),
    (0xA8E0, 0xA8FF, "Deva"),
    (0xA960, 0xA97F, "Hang"),
    (0xA9E0, 0xA9FF, "Mymr"),
    (0xAA60, 0xAA7F, "Mymr"),
    (0xAB00, 0xAB2F, "Ethi"),
    (0xAC00, 0xD7FF, "Hang"),
    (0xF900, 0xFAFF, "Hani"),
    (0xFB00, 0xFB06, "Latn"),
    (0xFB13, 0xFB17, "Armn"),
    (0xFB1D, 0xFB4F, "Hebr"),
    (0xFB50, 0xFDFF, "Arab"),
    (0xFE70, 0xFEFE, "Arab"),
    (0xFF21, 0xFF5A, "Latn"),
    (0xFF66, 0xFF9D, "Kana"),
    (0xFFA0, 0xFFDC, "Hang"),
    (0x20000, 0x3FFFF, "Hani"),
)
_STARTS: Final = [first for first, _, _ in _BLOCKS]


class _ScriptOf(dict[str, str]):
    """The script of each character met so far; empty for what is no letter or of no script of ours."""

    def __missing__(self, character: str) -> str:
        script = ""
        if character.isalpha():
            place = bisect_right(_STARTS, ord(character)) - 1
            if place >= 0 and ord(character) <= _BLOCKS[place][1]:
                script = _BLOCKS[place][2]
        self[character] = script
        return script


_script_of: Final = _ScriptOf()

# Common characters that modern Japanese does not use: simplified ones, then traditional ones that Japan reformed.
_CHINESE: Final = frozenset(
    "这为们说时发经过还问间长门车东马鸟鱼风飞电书买卖红绿蓝圆边头见张两开关动场块阳华树桥钟话语读纸线级给结织组终练细"
    "统继续维网罗视觉规观认识让议记讲许设访证评词试该请课调谁谈谢贝财责败货质购贵费资跃轮软轻较辆输运远连进适选邮邻铁"
    "银铜错锁镜闭闪闻阅队阶际陆陈难顶项顺须预领颜题额饭饮馆驾骑鸡鸭鹅鹰齐齿龙龟亲产从价众优传伤伟债兰兴农净凉击创剧务"
    "劲势单厅历压变吗员园围圣坏备复够奖妈娱宁实宽导岁岛币师帐带帮广庆库应弯录总戏执扩扫扬护报拥择挂挤换摆摇显暂术杂权"
    "极构标样档梦检欢毕汉汤沟泪济浓满灵烧热爱爷牵环现玛盐盖盘确础离种窗穷竞笔签简类粮紧绩对图你她很吧呢啊哪么躺趴這們"
    "說對發來會國學點萬當號聲體臺圖廣氣實樂您妳嗎裡將與讓從應總處歲戰單雙邊變觀顯靜歡"
)
# Characters that only Japan uses: made by its reform, or in Japan.
_JAPANESE: Final = frozenset(
    "気図売駅沢桜円単広変実楽働込畑辻峠匂枠栃雫凪躾戻渋渓粋経総絵続縁縄緑聴観覚転軽辺郷酔醸鉄銭録関闘陥険隠霊頼顔顕駆"
    "験騒髪鶏黒歩毎焼猟獣畳発県砕稲穂穏継縦繊児処剣剤労勧厳営囲圏圧塁塩壊壌姉嬢団対専巣帯帰庁廃弾従徳応恵悩戦戯払抜択"
    "拠挙挿捜掲揺摂撃斎暁暦栄桟検権歓歯歳浄涙済渇満滝両"
)
_CANTONESE: Final = frozenset("嘅咗喺唔啲冇佢哋嘢嚟咁乜")


def letters_by_script(text: str) -> Counter[str]:
    """How many letters of each script `text` has.

    >>> letters_by_script("海辺の dog") == {"Hani": 2, "Kana": 1, "Latn": 3}
    True
    """
    counts = Counter(map(_script_of.__getitem__, text))
    del counts[""]
    return counts


def han_language(text: str) -> tuple[str, bool]:
    """The language of a text in Han characters without kana, and whether some character settles it.

    >>> han_language("夜晚的红桥"), han_language("東京駅"), han_language("山")
    (('zh', True), ('ja', True), ('zh', False))
    """
    characters = set(text)
    if not characters.isdisjoint(_CANTONESE):
        return "yue", True
    chinese, japanese = not characters.isdisjoint(_CHINESE), not characters.isdisjoint(_JAPANESE)
    if japanese and not chinese:
        return "ja", True
    return "zh", chinese and not japanese
