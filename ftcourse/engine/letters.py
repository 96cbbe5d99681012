"""How likely letters are in Arabic, Chinese and Western texts: what tells a text from the rubbish that bytes become
when they are read in an encoding that is not theirs."""

from functools import cache

import numpy as np

# The most frequent letters, in this order. The first hundred Chinese characters are four in ten of a text.
ARABIC = "اليمنورتبعدهفةسكأقحجىإشصطذخزثضغئءظآؤ"
SIMPLIFIED = (
    "的一了不得是人个就有上菜都没到来在子好店点里我这看为员吃大下着也服还中时出务地后国年过太小家生道心多价单于手挺位和主头面干全分完演开很天说学结部又要本口以等会样发两格场乐像前行美净种十气桌用能马科听几"
    "电成片间剧特属他事去西配起动饭水最物想区算之直长台半影味现三对斯情音跟市自钱被名尾花可尔通么二法所热月同当从排那比账差高打快门新其坐而与作意真路节机东眼理州别次及光客错环公走进老加利把外正每厨方亚明做"
    "日化钟提队度贵第放戏收合定入代神回南鱼顿线洗经画海香拉声拍院问整话县反周奏汤教带站体布境角景边设根但内由建慢至北肉民色德平局实便值难业死卫常文任球般少受量克给山无巴力目相该足立清普刚工包落白让车酸氛毛"
    "故城效期政此只军久座曲儿表忘买笑接连原师镇见费茶罗关订程四性女张处号亮照技制安什响因宜重赛首省满离些才够广龙式凉纸送集世称约厅端然兰背系感形总语命共知友选疼基绝皮吵并板牛身团擦联数空糊拿硬套活段舒椅阿"
    "思倒红尼辣图列五转层使翻男变士换产歌编金早黑觉速华随战者或风馆讲怎江题鲜脏非司港食米居将类辑治候星青词亲恶近书流究简碗条王交如镜杯们灯筷黄轻哪剪管装紧喜级铁划爱闷六双字木再曾且界己烧底唱待墙刷草耳嗓骨"
)
TRADITIONAL = (
    "的一不到有了人在是很得都來點就上國我大還沒個年好中時為吃這以店看和後也位餐會生主菜多出太地用家小心結要分面本下子道服等員可全過成完裡於部手學場開務像行超對被天乾頭氣民價美單月想之桌日又十次動演發外而最"
    "口他淨自角當間現其前直與所機事進度起著快政方說根錢整帳軍高法電劇公算同比樂西理南水三幾通從每長麼經音明滿加東聽區普特樣斯配作接味世去局新入名馬代半兩及北片情打影二戲第內光由戰重然路市建能候湯教文老期便"
    "那力鐘爾才收放立海連環物並貴色反尾跟門但肉德花久共什平節利量院境安錯拍差定業種包拉們夠常工至亞因死稱統此合相台產化總衛使飯亮強車問香走意排剛回值奏府把再張話段級約原議邊正表克慢四實訂金讓運羅將感元別體"
    "河少治州受帶聯百清無白星程景聲華鏡制痛神畫格城山熱坐笑線速阿知記數唱語廁五權只氛布式設性魚客眼宜關座義司帝王哭提偷空隊朝該講故巴展界準真且史島油椅親友舒冷果認難古近基效轉任集里歌題始技各紀者洗球盤黨類"
    "淡居拜禮掉些達師領組命卻附已書變做送改辦保廳計選離縣票廚灣或女較流寫料麵假交偏擦則如驚首族科管續英士掃六臭給系紅紙爆換隔破省叫圖嚇臺態廣壁碗極喜亂隨尼品傳際杯房呼鮮風預另韓向先火拿剪翻聊港導牛蘭照舉號"
)
WESTERN = "éèàçêâîôûëïüöäßáíóúñãõåæøœÿìòùýğışžščřěłąęż"
MARKS = "‘’“”–—…«»·¿¡،؛؟ـ٪، 。，、！？：；（）《》「」『』【】～"

OTHER, LATIN, SMALL, CAPITAL, ARAB, VOWEL, HAN, KANA, SIGN, MARK, BROKEN = KINDS = range(11)  # kinds of characters

# What a character of each kind costs in a text. Kana costs little more than that, but is seldom in these languages.
USUAL = (-9, 0, -4.5, -6, -3.1, -4.5, -7.2, -5.5, -7, -4.5, -9)

UNLIKELY = {  # what one kind costs beside another
    (ARAB, LATIN): 6,
    (ARAB, SMALL): 7,
    (ARAB, CAPITAL): 7,
    (ARAB, HAN): 6,
    (VOWEL, VOWEL): 3,
    (VOWEL, LATIN): 6,
    (VOWEL, SMALL): 7,
    (VOWEL, CAPITAL): 7,
    (HAN, SMALL): 5,
    (HAN, CAPITAL): 5,
    (SMALL, SMALL): 3,
    (CAPITAL, CAPITAL): 3,
    (SMALL, SIGN): 3,
    (CAPITAL, SIGN): 3,
    (LATIN, SIGN): 2,
    (ARAB, SIGN): 4,
    (HAN, LATIN): 1.5,
    (HAN, SIGN): 2,
    (SIGN, SIGN): 2,
}


def level_one(encoding: str, first: int, last: int) -> set[str]:
    """The characters that the makers of a Chinese encoding put first, as those in daily use.

    >>> len(level_one("gb2312", 0xB0, 0xD7)), len(level_one("big5", 0xA4, 0xC6))
    (3755, 5401)
    """
    pairs = [bytes([lead, trail]) for lead in range(first, last + 1) for trail in range(0x40, 0xFF)]
    texts = [pair.decode(encoding, "ignore") for pair in pairs]
    return {text for text in texts if len(text) == 1 and "\u4e00" <= text <= "\u9fff"}


@cache
def tables() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """For each of the first 65536 characters its kind and its price, and for two kinds the price of their meeting.

    >>> kinds, prices, _ = tables()
    >>> bool(prices[ord("的")] > prices[ord("龘")]), bool(kinds[ord("é")] == SMALL)
    (True, True)
    """
    kinds, prices = np.full(0x10000, OTHER, np.uint8), np.full(0x10000, -11.0)

    def put(characters, kind: int, price) -> None:
        for rank, character in enumerate(characters):
            kinds[ord(character)], prices[ord(character)] = kind, price(rank) if callable(price) else price

    put(map(chr, range(0x80)), OTHER, -4)
    put([*map(chr, range(0x20)), "\x7f"], BROKEN, -9)
    put("\t\n\r", OTHER, -4)
    put([chr(n) for n in range(0x80) if chr(n).isalpha()], LATIN, -4)
    put(map(chr, range(0x80, 0xA0)), BROKEN, -15)
    latin = [chr(n) for n in (*range(0xC0, 0x180), 0x1E9E, 0x192) if chr(n).isalpha()]
    put([letter for letter in latin if letter.islower()], SMALL, -9)
    put([letter for letter in latin if not letter.islower()], CAPITAL, -9)
    put(WESTERN, SMALL, lambda rank: -3.5 - rank / 16)
    put([letter.upper() for letter in WESTERN if letter != "ß"], CAPITAL, lambda rank: -6 - rank / 16)
    put([chr(n) for n in range(0xA1, 0xC0) if not chr(n).isalpha()], SIGN, -8)
    put("×÷¦¬¸¹ƒˆ‰†‡‚„‹›˜™•€£©®°ªº²³½¼¾§±´", SIGN, lambda rank: -8.5 if rank < 17 else -7)
    put(map(chr, range(0x600, 0x700)), ARAB, -9)
    put(map(chr, range(0x64B, 0x653)), VOWEL, -4.5)
    put(map(chr, range(0x660, 0x66A)), ARAB, -5)
    put("پچژگکیھہ", ARAB, -7)
    put(ARABIC, ARAB, lambda rank: -2 - rank / 8)
    put(map(chr, [*range(0x3400, 0xA000), *range(0xF900, 0xFB00)]), HAN, -13)
    put(level_one("gb2312", 0xB0, 0xD7) | level_one("big5", 0xA4, 0xC6), HAN, -9.5)
    for common in (TRADITIONAL, SIMPLIFIED):
        put(common[100:], HAN, -6.9)
    for common in (TRADITIONAL, SIMPLIFIED):
        put(common[:100], HAN, -5.6)
    put(map(chr, [*range(0x391, 0x3CA), *range(0x410, 0x450)]), OTHER, -7.5)
    put(map(chr, range(0x3041, 0x3100)), KANA, -8)
    put(MARKS, MARK, -4.5)
    put("\xa0\u3000\u200c\u200d\u200e\u200f\xad", MARK, -6)
    put(map(chr, [*range(0xFF10, 0xFF1A), *range(0xFF21, 0xFF3B), *range(0xFF41, 0xFF5B)]), MARK, -8)
    put(map(chr, [*range(0xD800, 0xF900), 0xFFFD, 0xFFFE, 0xFFFF]), BROKEN, -18)
    meet = np.zeros((len(KINDS), len(KINDS)))
    for (one, other), price in UNLIKELY.items():
        meet[one, other] = meet[other, one] = -price
    meet[SMALL, CAPITAL] = meet[LATIN, CAPITAL] = -4  # a capital inside a word
    meet[OTHER, VOWEL] = meet[MARK, VOWEL] = -5  # a vowel's sign without a letter below it
    return kinds, prices, meet


def codes_of(text: str) -> np.ndarray:
    """The numbers of the characters; that of a rare one for all beyond the first 65536, such as emoji.

    >>> codes_of("a好😀").tolist()
    [97, 22909, 19967]
    """
    codes = np.frombuffer(text.encode("utf-32-le", "surrogatepass"), np.uint32)
    return np.where(codes > 0xFFFF, 0x4DFF, codes)


def prices_of(text: str) -> np.ndarray:
    """What each character costs on its own: the logarithm of how likely it is.

    >>> prices_of("的嬲").tolist()
    [-5.6, -13.0]
    """
    return tables()[1][codes_of(text)]


def likelihoods(texts: list[str]) -> tuple[np.ndarray, np.ndarray]:
    """For each text the logarithm of how likely it is, and how many of its characters lie beyond ASCII.

    >>> values, counts = likelihoods(["جيد جدا", "ÌíÏ ÌÏÇ"])
    >>> bool(values[0] > values[1]), counts.tolist()
    (True, [6, 6])
    """
    kinds, prices, meet = tables()
    codes = codes_of("\n".join([*texts, ""]))
    ends = np.cumsum([len(text) + 1 for text in texts])
    starts = ends - [len(text) + 1 for text in texts]
    kind = kinds[codes]
    values = prices[codes] + np.append(meet[kind[:-1], kind[1:]], 0)
    values[ends - 1] = 0  # between the texts
    return np.add.reduceat(values, starts), np.add.reduceat((codes > 0x7F).astype(int), starts)


def surprise(text: str) -> float:
    """How much less likely the characters of a text beyond ASCII are than is usual for their kinds, each on average.

    >>> surprise("餐廳很乾淨，服務也好") < 1 < surprise("Ôèëüì ñêó÷íûé è ñëèøêîì äëèííûé")
    True
    """
    kinds, prices, meet = tables()
    codes = codes_of(text)
    kind, usual = kinds[codes], np.array(USUAL)
    beyond = codes > 0x7F
    if not beyond.any():
        return 0.0
    meeting = meet[kind[:-1], kind[1:]].sum()
    return float((usual[kind[beyond]] - prices[codes[beyond]]).mean() - meeting / beyond.sum())
