#!/usr/bin/env python3
"""Records what the reference implementation of VADER says, for the tests of `coins::sentiment`.

    python3 -m venv /tmp/vader && /tmp/vader/bin/pip install vaderSentiment==3.3.2
    /tmp/vader/bin/python scripts/record-vader.py

Writes tests/fixtures/vader/reference.jsonl.gz (a line `[text, neg, neu, pos, compound]` for each text
of texts.jsonl and for a seeded fuzz) and src/sentiment/{lexicon,emoji}.tsv (what a lookup can
reach of the package's data). Sums of floats changed in Python 3.12; the record is of 3.11 or older.
"""

import gzip
import importlib.metadata
import json
import pathlib
import random
import string
import sys

from vaderSentiment import vaderSentiment as vader

assert importlib.metadata.version("vaderSentiment") == "3.3.2"
assert sys.version_info < (3, 12)

ROOT = pathlib.Path(__file__).resolve().parent.parent
FIXTURES = ROOT / "tests/fixtures/vader"
DATA = ROOT / "src/sentiment"
FUZZ = 6000

analyzer = vader.SentimentIntensityAnalyzer()


def record_data():
    # Looked up are lower-case tokens without white space, and single code points.
    words = {k: v for k, v in analyzer.lexicon.items() if k == k.lower() and len(k.split()) == 1}
    emojis = {k: v for k, v in analyzer.emojis.items() if len(k) == 1}
    for name, table in (("lexicon", words), ("emoji", emojis)):
        lines = (f"{key}\t{value}\n" for key, value in sorted(table.items()))
        (DATA / f"{name}.tsv").write_text("".join(lines), encoding="utf-8")


def fuzz():
    dice = random.Random(20261120)
    lexicon = sorted(analyzer.lexicon)
    emojis = sorted(analyzer.emojis)
    idioms = sorted(vader.SPECIAL_CASES) + sorted(vader.SENTIMENT_LADEN_IDIOMS)
    plain = "the a coin bitcoin was is market today price of kind sort just enough doubt at very".split()
    plain += "or nor so this but but but least least no no never without never so never this".split()
    foreign = "été Привет ΣΑΣ İ ß ǅ ﬁ ﾊ ª Ⅷ ⅷ 东京 नमस्ते Ünï ÅNGSTRÖM".split()
    spaces = [" "] * 30 + ["  ", "\t", "\n", "\u00a0", "\u3000", "\u001c", "\u0085", "\u200b", "\r\n", ""]
    kinds = [
        (8, lambda: dice.choice(lexicon)),
        (6, lambda: dice.choice(plain)),
        (3, lambda: dice.choice(sorted(vader.BOOSTER_DICT))),
        (3, lambda: dice.choice(vader.NEGATE)),
        (1, lambda: dice.choice(idioms)),
        (1, lambda: dice.choice(emojis)),
        (1, lambda: dice.choice(foreign)),
        (1, lambda: "".join(dice.choices(string.printable, k=dice.randint(1, 6)))),
        (1, lambda: chr(dice.choice([dice.randrange(0x20, 0x2FF), dice.randrange(0x370, 0x3000)]))),
    ]
    weights = [weight for weight, _ in kinds]
    cases = [str, str, str, str, str.upper, str.title, str.swapcase]
    ends = [""] * 12 + list(".,!?;:)\"'") + ["!!", "!!!", "!!!!!", "??", "???", "????", "?!", "...", "'s", "n't"]
    starts = [""] * 20 + list("#@$(\"'*")
    for _ in range(FUZZ):
        text = ""
        for _ in range(dice.choice([1, 2, 3, 4, 5, 6, 7, 8, 10, 12, 20, 40])):
            word = dice.choice(cases)(dice.choices(kinds, weights)[0][1]())
            text += dice.choice(starts) + word + dice.choice(ends) + dice.choice(spaces)
        yield text


def record_reference():
    texts = [json.loads(line) for line in (FIXTURES / "texts.jsonl").read_text().splitlines()]
    with gzip.GzipFile(FIXTURES / "reference.jsonl.gz", "wb", compresslevel=9, mtime=0) as file:
        for text in [*texts, *fuzz()]:
            scores = analyzer.polarity_scores(text)
            line = [text, *(scores[name] for name in ("neg", "neu", "pos", "compound"))]
            file.write(json.dumps(line).encode() + b"\n")


DATA.mkdir(parents=True, exist_ok=True)
record_data()
record_reference()
