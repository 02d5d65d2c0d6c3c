"""Writes params/embedded: made-up rows in the format of MRPC and SICK, so that the smoke profile runs offline.

They are plumbing, not data: nobody should read an accuracy off them. A test runs this script again and
compares bytes.   python tests/embedded_rows.py [FOLDER]
"""

import json
import random
import sys
from pathlib import Path

FIRMS = "Alden Borealis Cadmus Delphin Everly Fenwick Garrick Halvard".split()
DAYS = "Monday Tuesday Wednesday Thursday Friday".split()
CITIES = "Lisbon Oslo Turin Quito Lagos Perth Osaka Bergen".split()
DEEDS = [("open", "a new plant"), ("close", "two offices"), ("hire", "300 workers"), ("sell", "its shipping arm"),
         ("buy", "a rival"), ("cut", "40 jobs")]  # fmt: skip
PEOPLE = [("man", "person"), ("woman", "person"), ("boy", "child"), ("girl", "child"), ("dog", "animal"),
          ("cat", "animal"), ("singer", "person"), ("farmer", "person")]  # fmt: skip
ACTS = [("playing a guitar", "playing an instrument"), ("riding a horse", "riding an animal"),
        ("eating an apple", "eating fruit"), ("slicing a potato", "cutting a vegetable"),
        ("running fast", "moving"), ("sleeping", "resting")]  # fmt: skip
PLACES = ["in a park", "on a beach", "near a lake", "in a kitchen", "on a street", "beside a barn"]


def report(draw: random.Random) -> tuple:
    return draw.choice(FIRMS), draw.choice(DAYS), draw.choice(DEEDS), draw.choice(CITIES)


def paraphrase(draw: random.Random, label: str) -> tuple[str, str]:
    firm, day, (verb, what), city = report(draw)
    first = f"{firm} said on {day} that it will {verb} {what} in {city} ."
    if label == "not_equivalent":
        other = draw.choice([c for c in CITIES if c != city])
        deed = draw.choice([d for d in DEEDS if d[0] != verb])
        city, (verb, what) = draw.choice([(other, (verb, what)), (city, deed)])
    return first, f"The company {firm} will {verb} {what} in {city} , it said {day} ."


def inference(draw: random.Random, label: str) -> tuple[str, str]:
    (who, kind), (act, wider), place = draw.choice(PEOPLE), draw.choice(ACTS), draw.choice(PLACES)
    first = f"A {who} is {act} {place}"
    if label == "entailment":
        return first, f"{'An' if kind == 'animal' else 'A'} {kind} is {wider}"
    if label == "contradiction":
        return first, f"There is no {who} {act} {place}"
    other = draw.choice([p for p in PLACES if p != place])
    return first, f"A {draw.choice(['tall', 'young', 'tired'])} {who} is {act} {other}"


def write(folder: Path) -> None:
    tasks = {"mrpc": (paraphrase, ["equivalent", "not_equivalent"]),
             "sick": (inference, ["entailment", "neutral", "contradiction"])}  # fmt: skip
    for task, (pair, labels) in tasks.items():
        draw, seen = random.Random(task), set()
        (folder / task).mkdir(parents=True, exist_ok=True)
        for split, per_label in (("train", 40), ("test", 20)):
            rows = []
            for label in labels:
                while sum(row["label"] == label for row in rows) < per_label:
                    first, second = pair(draw, label)
                    if (first, second) not in seen:
                        seen.add((first, second))
                        rows.append({"sentence1": first, "sentence2": second, "label": label})
            draw.shuffle(rows)
            lines = "".join(json.dumps(row) + "\n" for row in rows)
            (folder / task / f"{split}.jsonl").write_text(lines, encoding="utf-8")
        firsts = list(dict.fromkeys(pair(draw, labels[0])[0] for _ in range(600)))[:150]
        (folder / task / "sentences.txt").write_text("".join(f"{s}\n" for s in firsts), encoding="utf-8")


if __name__ == "__main__":
    default = Path(__file__).resolve().parent.parent / "params" / "embedded"
    write(Path(sys.argv[1]) if len(sys.argv) > 1 else default)
