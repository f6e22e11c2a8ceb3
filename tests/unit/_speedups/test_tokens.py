"""Token counts: equal to tiktoken's for every vocabulary, text and split, in linear time and little memory."""

import itertools
import random
import string
import threading
import time

import pytest
import tiktoken
from hypothesis import given, settings
from hypothesis import strategies as st

from fastgw._speedups.tokens import HEADER_SIZE, Counter, Table, build, image_size
from fastgw.core import tables as shared
from scripts import tables
from tests.support.token_oracle import NAMES, encoding, expected, made, ranks

TEXTS = {
    "english": "The quick brown fox didn't jump; it WALKED over 12,345 dogs' tails. I'M SURE they'll say we've won!\n",
    "code": "def f(self, x: int = 0) -> dict[str, int]:\n    return {**self.y,\n\n\t\t'k': 2}  # ok?\r\n\r\n//\n/**/\n",
    "spaces": " a  b   c    d\n \n  \n\n\t \t\r\n   e \u00a0\u2003f\u3000g\u2028h\x85i\x0b\x0c j          "
    + " " * 200
    + "\n" * 90,
    "chinese": "今天天气很好，我们去公园散步吧。然后一起吃饭！繁體中文也要測試。",
    "japanese": "これはトークン数を数えるための文章です。カタカナーとひらがな、漢字を混ぜる。",
    "korean": "이 문장은 토큰 수를 세기 위한 것입니다. 띄어쓰기도 있어요.",
    "russian": "Этот текст нужен, чтобы проверить подсчёт токенов. СЛОВА ПРОПИСНЫМИ и Обычные.",
    "greek": "Αυτό το κείμενο ελέγχει τη μέτρηση των συμβόλων.",
    "arabic": "هذا النص مكتوب لاختبار عدّ الرموز، وفيه أرقام ١٢٣٤٥.",
    "hebrew": "הטקסט הזה נכתב כדי לבדוק ספירה, כולל נִקּוּד.",
    "hindi": "यह पाठ गिनती जाँचने के लिए लिखा गया है।",
    "thai": "ข้อความนี้ใช้สำหรับทดสอบการนับโทเค็น",
    "emoji": "👍🏽 ok 👨‍👩‍👧‍👦🇩🇪😀😀😀 ☃️ 1️⃣",
    "marks": "e\u0301tude a\u0308\u0301\u0323 \u0301a \u0301\u0302 Zo\u0308e\u0301\u0301's ǅ ʰA\u02b0B",
    "contractions": "it's IT'S it'ſ we'Re 'Re 'll'LL'Ve 'tis rock'n'roll '' 'é don't'd's",
    "numbers": "1 12 123 1234 12345678 3.14159 ٣٤٥٦ ²³¼ Ⅷ ১২৩৪ 1,000,000",
    "special": "<|endoftext|><|im_start|>user<|fim_prefix|> <|endofprompt|>",
    "capitals": "HTTPServer XMLHttpRequest iPhone ABCdef中ABC中abc ÀÉÎõü AǅB",
    "long": "Donaudampfschifffahrtselektrizitätenhauptbetriebswerkbauunterbeamtengesellschaft" * 40,
    "one letter": "a" * 5000 + "A" * 5000 + "中" * 3000 + "中" + "B" * 5000,
    "punctuation": "!?" * 700 + "=" * 3001 + "/\n" * 900 + "({[<" * 500,
    "long spaces": " " * 7000 + "x" + "\t" * 5000 + "\n" + " " * 5000 + "\r\n" * 3000,
    "empty": "",
}


@pytest.fixture(params=NAMES)
def name(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def fed(table: Table, pieces: list[bytes] | list[str], eager: bool = True) -> int:
    counter = Counter(table)
    for piece in pieces:
        counter.feed(piece)
        while eager and counter.step():
            pass
    counter.end()
    while counter.step():
        pass
    return counter.count


@pytest.mark.parametrize("topic", TEXTS)
def test_texts(name: str, topic: str) -> None:
    text, table = TEXTS[topic], shared.load(name)
    assert table.count(text) == expected(name, text)
    data = text.encode()
    assert table.count(data) == expected(name, text)
    for size in (1, 3, 7, 64, 4096):
        assert fed(table, [data[i : i + size] for i in range(0, len(data), size)]) == expected(name, text)
    assert fed(table, list(text), eager=False) == expected(name, text)


def test_all_texts_after_each_other(name: str) -> None:
    for one, two in itertools.permutations(TEXTS.values(), 2):
        assert shared.load(name).count(one + two) == expected(name, one + two)


def test_every_character(name: str) -> None:
    points = [*range(0xD800), *range(0xE000, 0x33000), *range(0x33000, 0xE0000, 97), *range(0xE0000, 0xE1000)]
    points += range(0xE1000, 0x110000, 97)
    for start in range(0, len(points), 500):
        text = "".join(f"a{c}B{c} {c}1{c}\n" for c in map(chr, points[start : start + 500]))
        assert shared.load(name).count(text) == expected(name, text), f"U+{points[start]:04X}.."


def test_every_token_and_its_halves(name: str) -> None:
    table = shared.load(name)
    texts = [token.decode("utf-8", "replace") for token in ranks(name)]
    texts += [text[: len(text) // 2] for text in texts[::7]] + [text[1:] + text for text in texts[3::7]]
    assert [table.count(text) for text in texts] == [expected(name, text) for text in texts]


words = st.sampled_from([text for text in TEXTS.values() if 0 < len(text) < 200]).flatmap(
    lambda text: st.sampled_from(text.split(" ") + list(text))
)
texts = st.one_of(
    st.text(max_size=60),
    st.lists(words | st.text(max_size=3), max_size=12).map("".join),
    st.text(alphabet="aB'sSſtL中ー\u0301ǅʰ1٣ \n\r\u00a0./é", max_size=60),
    st.tuples(st.text(min_size=1, max_size=3), st.integers(1, 900)).map(lambda pair: pair[0] * pair[1]),
)


@settings(max_examples=400)
@given(text=texts, name=st.sampled_from(NAMES))
def test_any_text(text: str, name: str) -> None:
    assert shared.load(name).count(text) == expected(name, text)


@settings(max_examples=200)
@given(text=texts, name=st.sampled_from(NAMES), data=st.data())
def test_any_split_of_a_text_gives_the_same(text: str, name: str, data: st.DataObject) -> None:
    raw = text.encode()
    cuts = sorted(data.draw(st.lists(st.integers(0, len(raw)), max_size=6)))
    pieces = [raw[a:b] for a, b in itertools.pairwise([0, *cuts, len(raw)])]
    assert fed(shared.load(name), pieces, data.draw(st.booleans())) == expected(name, text)


@settings(max_examples=300)
@given(
    data=st.lists(st.binary(max_size=6) | words.map(str.encode) | words.map(lambda word: word.encode()[:-1])).map(
        b"".join
    ),
    size=st.integers(1, 9),
)
def test_broken_utf8_counts_as_its_replacement(data: bytes, size: int) -> None:
    table, wanted = shared.load("o200k_base"), expected("o200k_base", data.decode("utf-8", "replace"))
    assert table.count(data) == wanted
    assert fed(table, [data[i : i + size] for i in range(0, len(data), size)]) == wanted


@pytest.mark.parametrize("text", ["\ud800", "a\udc00\ud800b", "\ud83d\ude00", "x\ud83d\ude00\udfff" * 9])
def test_surrogates_count_as_in_tiktoken(name: str, text: str) -> None:
    assert shared.load(name).count(text) == expected(name, text)
    assert fed(shared.load(name), [text]) == expected(name, text)


def test_str_and_bytes_can_be_mixed_and_a_cut_character_before_a_str_is_broken() -> None:
    counter = Counter(shared.load("cl100k_base"))
    counter.feed("中".encode()[:2])
    counter.feed("é")
    counter.feed("中".encode()[:1])
    counter.end()
    counter.end()
    assert not counter.step()
    assert counter.ended
    assert counter.count == expected("cl100k_base", "\ufffdé\ufffd")
    with pytest.raises(ValueError, match="ended"):
        counter.feed("more")


def vocabularies(seed: int, letters: str, size: int) -> tables.Ranks:
    """Random merges over the bytes of some letters, so that tokens start and end anywhere in characters."""
    choose = random.Random(seed)
    singles = list(range(256))
    choose.shuffle(singles)
    vocabulary = {bytes([byte]): rank for rank, byte in enumerate(singles)}
    parts = [bytes([byte]) for byte in sorted(set(letters.encode()))]
    while len(vocabulary) < 256 + size:
        token = choose.choice(parts) + choose.choice(parts)
        if token in vocabulary or len(token) > 20:
            continue
        vocabulary[token] = len(vocabulary)
        try:
            tables.halves(vocabulary, token)
            parts.append(token)
        except ValueError:  # earlier merges always come between
            del vocabulary[token]
            if choose.random() < 0.05:
                size -= 1
    return vocabulary


@pytest.mark.parametrize("kind", tables.KINDS.values())
@pytest.mark.parametrize("letters", ["ab", "abc", "aé中", "中丯串", "бвг ", "a😀\u0301'", "éè\n ", "ⴰⴱ한국"])
def test_random_vocabularies(kind: int, letters: str) -> None:
    pattern = encoding(next(name for name, number in tables.KINDS.items() if number == kind))._pat_str
    for seed in range(6):
        vocabulary = vocabularies(seed, letters, 20 + 30 * seed)
        oracle = tiktoken.Encoding("made", pat_str=pattern, mergeable_ranks=vocabulary, special_tokens={})
        table, choose = made(kind, vocabulary), random.Random(seed)
        for _ in range(150):
            text = "".join(choose.choices(letters, k=choose.choice((1, 3, 9, 30, 100, 400))))
            assert table.count(text) == len(oracle.encode_ordinary(text)), (seed, text)


def far_sighted(length: int) -> tuple[str, tables.Ranks]:
    """A text whose merges all depend on its end, since each pair of letters occurs once and loses against the next one.

    Whether the first two letters become a pair, and that a token with the P in front of it, is a matter of odd or even.
    """
    letters = string.ascii_letters.translate({ord(letter): None for letter in "PZ"})
    steps = {letter: list(letters) for letter in letters}
    walk, path = ["a"], []
    while walk:  # a walk along every pair of letters (Hierholzer)
        if steps[walk[-1]]:
            walk.append(steps[walk[-1]].pop())
        else:
            path.append(walk.pop())
    text = "".join(path)[-length:]
    vocabulary = {bytes([i]): i for i in range(256)}
    for i in range(len(text) - 2, -1, -1):
        vocabulary[text[i : i + 2].encode()] = len(vocabulary)
    vocabulary[f"P{text[:2]}".encode()] = len(vocabulary)
    return f"P{text}", vocabulary


@pytest.mark.parametrize("length", [500, 1999, 2048, 2300, 2301, 2498, 2499])
def test_merges_that_depend_on_the_far_end(length: int) -> None:
    text, vocabulary = far_sighted(length)
    assert len(text) == length + 1
    table, pattern = made(1, vocabulary), encoding("cl100k_base")._pat_str
    oracle = tiktoken.Encoding("made", pat_str=pattern, mergeable_ranks=vocabulary, special_tokens={})
    for part in (text, text[1:], text[:-1], f"ZZ{text}", f"{text}Z{text}"):
        wanted = len(oracle.encode_ordinary(part))
        assert table.count(part) == wanted
        assert fed(table, list(part)) == wanted
    before, after = "Z" * 70_000 + text + " Z" * 10, " Z" * 100_000
    counter = Counter(table)
    counter.feed(before)
    assert counter.step()  # stops in the middle of the word, to whose start it must still be able to return
    counter.feed(after)
    counter.end()
    while counter.step():
        pass
    assert counter.count == len(oracle.encode_ordinary(before + after))


def test_time_is_linear_in_texts_made_to_be_slow() -> None:
    choose = random.Random(5)
    table = shared.load("o200k_base")
    mixed = "".join(choose.choices(string.ascii_lowercase, k=1 << 16))
    for text in ("a" * 65_536, " " * 65_536, "中" + "A" * 65_535, "=" * 65_536, "\u0301A" * 30_000, mixed):
        few = min(_seconds(table, text) for _ in range(3))
        assert few < 0.5
        assert min(_seconds(table, text * 8) for _ in range(3)) < 30 * few  # 64 times if it were quadratic


def _seconds(table: Table, text: str) -> float:
    start = time.thread_time()  # of this thread alone, whatever else the machine does
    table.count(text)
    return time.thread_time() - start


def test_one_step_counts_a_slice() -> None:
    for text in ("word " * 200_000, "ab" * 500_000):
        counter = Counter(shared.load("o200k_base"))
        counter.feed(text)
        counter.end()
        steps, before = 0, 0
        more = True
        while more:
            more = counter.step()
            steps += 1
            assert counter.count - before <= 65_536 + 2_048
            before = counter.count
        assert len(text) // 65_536 <= steps <= len(text) // 60_000 + 2
        assert counter.count == expected("o200k_base", text)


def test_threads_share_a_table_but_not_a_counter() -> None:
    table, text = shared.load("o200k_base"), TEXTS["english"] * 20_000
    wanted, counts = table.count(TEXTS["english"] * 500), []
    counter, refused = Counter(table), []
    counter.feed(text)

    def work() -> None:
        while counter.step():
            counts.append(table.count(TEXTS["english"] * 500))

    thread = threading.Thread(target=work)
    thread.start()
    while thread.is_alive() and not refused:
        try:
            counter.feed("")
        except RuntimeError as error:
            refused.append(str(error))
    thread.join()
    assert refused == ["another thread uses this counter"]
    assert counts
    assert set(counts) == {wanted}


def test_only_text_is_counted() -> None:
    table = shared.load("p50k_base")
    for wrong in (None, 3, bytearray(b"a"), ["a"]):
        with pytest.raises(TypeError):
            table.count(wrong)  # type: ignore[arg-type]
        with pytest.raises(TypeError):
            Counter(table).feed(wrong)  # type: ignore[arg-type]
    with pytest.raises(TypeError):
        Counter(None)  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def small() -> tuple[bytes, bytes]:
    return tables.encode("small", 1, vocabularies(1, "abc", 60))


def test_an_image_must_be_complete(small: tuple[bytes, bytes]) -> None:
    header, packed = small
    assert len(header) == HEADER_SIZE
    size = image_size(header)
    image = bytearray(size)
    with pytest.raises(ValueError, match="not a complete image"):
        Table(image)
    build(header, packed, image)
    assert Table(image).name == "small"
    assert Table(image).count("abc") >= 1
    for wrong in (b"", bytes(image[:64]), bytes(image[:-1]), bytes(image[8:]), b"\0" * 8 + bytes(image[8:])):
        with pytest.raises(ValueError, match="not a complete image"):
            Table(wrong)
    with pytest.raises(ValueError, match="not a complete image"):
        Table(memoryview(bytes(1) + bytes(image))[1:])  # not aligned


def test_an_image_with_any_content_is_safe_to_use(small: tuple[bytes, bytes]) -> None:
    header, packed = small
    clean = bytearray(image_size(header))
    build(header, packed, clean)
    for seed in range(60):
        choose, image = random.Random(seed), bytearray(clean)
        for _ in range(choose.choice((1, 30, 3000))):
            image[choose.randrange(24 if seed % 2 else HEADER_SIZE, len(image))] = choose.randrange(256)
        try:
            table = Table(image)
        except ValueError:
            continue
        for text in ("abcabcab" * 9, "a" * 3000, "é中😀" * 50, "word " * 9, "abc" * 30):
            assert 0 < table.count(text) <= len(text.encode())


def test_a_vocabulary_must_be_well_formed(small: tuple[bytes, bytes]) -> None:
    header, packed = small
    size = image_size(header)
    for head in (b"", header[:-1], bytes(64), header[:28] + b"\xff\xff\xff\x7f" + header[32:]):
        with pytest.raises(ValueError, match="header of a vocabulary"):
            image_size(head)
    with pytest.raises(ValueError, match="another size"):
        build(header, packed, bytearray(size + 16))
    with pytest.raises(ValueError, match="another size"):
        build(header, packed + b"x", bytearray(size))
    with pytest.raises(ValueError, match="256 bytes"):
        build(header, packed, bytearray(size), limit=255)
    with pytest.raises(BufferError):
        build(header, packed, bytes(size))
    planes = (len(packed) - 256) // 6
    twice, forward = bytearray(packed), bytearray(packed)
    twice[1] = twice[0]  # one byte as two tokens
    forward[256 + planes] = 0x7F  # merged from a rank that does not exist
    for wrong in (twice, forward):
        image = bytearray(size)
        with pytest.raises(ValueError, match="not a well-formed"):
            build(header, wrong, image)
        with pytest.raises(ValueError, match="not a complete image"):
            Table(image)
    for seed in range(40):
        choose, noise = random.Random(seed), bytearray(packed)
        for _ in range(seed):
            noise[choose.randrange(256, len(noise))] = choose.randrange(256)
        try:
            build(header, noise, image := bytearray(size))
        except ValueError:
            continue
        assert Table(image).count("abc" * 20) > 0


def test_a_limit_leaves_later_ranks_out() -> None:
    vocabulary = {**{bytes([i]): i for i in range(256)}, b"ab": 256, b"abab": 257}
    assert made(1, vocabulary).count("abab") == 1
    assert made(1, vocabulary, limit=257).count("abab") == 2
    assert made(1, vocabulary, limit=256).count("abab") == 4
