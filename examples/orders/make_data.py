"""Writes an example for a pretrained model: orders as customers write them, and their fields.

Names, places and goods of the evaluation set occur nowhere in the training set: what is asked for
cannot be learnt by heart, only copied from a text that is understood. The sentences are put
together from parts written for this project, so the data is free of other people's rights and of
real customers. Run it again to get the same two files:

    python examples/orders/make_data.py
"""

from __future__ import annotations

import json
import random
from dataclasses import dataclass
from pathlib import Path

FOLDER = Path(__file__).parent
INSTRUCTION = "Write this order as JSON with the keys customer, quantity, item, city and day."
DAYS = ["Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday"]
NUMBERS = {2: "two", 3: "three", 4: "four", 5: "five", 6: "six", 10: "ten", 12: "twelve"}
LETTERS = [
    "Hello, this is {customer}. Please send {count} {goods} to {city} by {day}.",
    "Hi! We need {count} {goods} in our {city} shop on {day}. Thanks, {customer}",
    "Dear team, could {count} {goods} reach {city} before {day}? Yours, {customer}",
    "{customer} here. I would like to order {count} {goods}; deliver them to {city} on {day}.",
    "Can you bring {count} {goods} to {city}? {day} would be best. Regards, {customer}",
    "For {day}, please: {count} {goods}, to be left at the {city} office. {customer}",
    "Good morning, {customer} speaking. {day} at the latest I must have {count} {goods} in {city}.",
    "My name is {customer} and I am short of {goods}: {count} of them by {day}, sent to {city}.",
]


@dataclass(frozen=True)
class Words:
    """What orders are made of; item -> its plural."""

    first_names: list[str]
    last_names: list[str]
    cities: list[str]
    items: dict[str, str]

    def order(self, chance: random.Random) -> dict[str, str]:
        """Makes one row."""
        customer = f"{chance.choice(self.first_names)} {chance.choice(self.last_names)}"
        quantity = chance.choice(list(NUMBERS))
        item = chance.choice(list(self.items))
        fields = {
            "customer": customer,
            "quantity": quantity,
            "item": item,
            "city": chance.choice(self.cities),
            "day": chance.choice(DAYS),
        }
        letter = chance.choice(LETTERS).format(
            count=chance.choice([str(quantity), NUMBERS[quantity]]),
            goods=self.items[item],
            **fields,
        )
        return {"input_text": f"{INSTRUCTION}\n\n{letter}", "output_text": json.dumps(fields)}


TRAINING = Words(
    first_names=["Anna", "Bruno", "Chloe", "David", "Elena", "Frank", "Grace", "Henry", "Ingrid"]
    + ["Jonas", "Karin", "Leo", "Maria", "Nina", "Oscar", "Paula"],
    last_names=["Adams", "Bauer", "Costa", "Dubois", "Evans", "Fischer", "Garcia", "Hansen"]
    + ["Ivanov", "Jensen", "Keller", "Lopez", "Murphy", "Novak", "Olsen", "Peters"],
    cities=["Berlin", "Boston", "Cairo", "Dublin", "Geneva", "Hamburg", "Lisbon", "London"]
    + ["Madrid", "Milan", "Oslo", "Paris", "Prague", "Rome", "Vienna", "Zurich"],
    items={
        "red chair": "red chairs",
        "coffee cup": "coffee cups",
        "desk lamp": "desk lamps",
        "glass vase": "glass vases",
        "wooden table": "wooden tables",
        "paper bag": "paper bags",
        "blue pen": "blue pens",
        "notebook": "notebooks",
        "kitchen knife": "kitchen knives",
        "flower box": "flower boxes",
        "wall clock": "wall clocks",
        "winter coat": "winter coats",
    },
)
EVALUATION = Words(
    first_names=["Alice", "Boris", "Carla", "Dennis", "Emma", "Felix", "Hanna", "Ivan"],
    last_names=["Andersson", "Brown", "Clark", "Fontana", "Gruber", "Moreau", "Silva", "Weber"],
    cities=["Athens", "Bergen", "Chicago", "Denver", "Krakow", "Munich", "Porto", "Turin"],
    items={
        "green sofa": "green sofas",
        "tea pot": "tea pots",
        "leather belt": "leather belts",
        "garden hose": "garden hoses",
        "picture frame": "picture frames",
        "bread knife": "bread knives",
        "candle": "candles",
        "tool box": "tool boxes",
    },
)


def main() -> None:
    """Writes train.jsonl (400 rows) and evaluation.jsonl (60 rows)."""
    chance = random.Random(0)
    for name, words, count in (("train", TRAINING, 400), ("evaluation", EVALUATION, 60)):
        lines = [json.dumps(words.order(chance)) + "\n" for _ in range(count)]
        (FOLDER / f"{name}.jsonl").write_text("".join(lines), encoding="utf-8")


if __name__ == "__main__":
    main()
