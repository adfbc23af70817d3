"""Writes the shipped example: customer messages and the team that answers them.

The sentences are put together from parts written for this project, so the data is free of other
people's rights and of real customers. Run it again to get the same two files:

    python examples/support/make_data.py
"""

from __future__ import annotations

import json
import random
from itertools import product
from pathlib import Path

FOLDER = Path(__file__).parent
INSTRUCTION = (
    "Which team answers this message? One of: account, billing, delivery, returns, technical. "
    "Message: "
)
OPENINGS = [
    "Hello,",
    "Hi there,",
    "Good morning,",
    "Please help:",
    "Quick question:",
    "Dear team,",
    "Sorry to bother you, but",
    "I am writing because of this:",
    "Once again:",
    "To whom it may concern,",
]
MESSAGES = {
    "account": [
        "I forgot my password and the reset mail never comes",
        "how do I change the email address I sign in with",
        "please delete my profile and everything you know of me",
        "my username is locked after three wrong logins",
        "can two people share one login",
        "I want to turn on sign in with a second factor",
        "someone else seems to be signed in as me",
        "my birthday is wrong in my profile",
        "how can I merge my two profiles into one",
        "the verification code for signing in is refused",
    ],
    "billing": [
        "you charged my credit card twice this month",
        "the invoice shows the wrong tax number",
        "I was promised a discount but paid the full price",
        "where can I download the receipt for March",
        "my payment was declined although the card is valid",
        "please switch me from monthly to yearly payment",
        "why is there a fee of four euros on my bill",
        "the voucher was not taken off the total",
        "I need the invoice made out to my company",
        "how do I pay by bank transfer instead of card",
    ],
    "delivery": [
        "the parcel was due on Monday and is still not here",
        "the courier left the box with a neighbour I do not know",
        "the tracking page has shown no news for a week",
        "can the driver come after six in the evening",
        "please send the package to my office instead",
        "only one of the two parcels arrived",
        "do you ship to Norway and how long does it take",
        "the courier rang at the wrong door",
        "the box was wet and crushed when the courier came",
        "which carrier brings large parcels",
    ],
    "returns": [
        "the shoes are too small and I want to send them back",
        "how many days do I have to return a gift",
        "please exchange the blue jacket for a green one",
        "I sent the lamp back but got no refund",
        "is the return label free of charge",
        "the colour differs from the picture so I will return it",
        "can I hand in a return at one of your shops",
        "I opened the box, may I still give it back",
        "the refund for the returned kettle is too low",
        "I lost the return label, please send a new one",
    ],
    "technical": [
        "the app crashes as soon as I open the camera",
        "the website stays blank in my browser",
        "after the update the screen flickers",
        "the device does not connect to the wireless network",
        "the search button does nothing when I press it",
        "an error number 502 appears on every page",
        "the battery is empty after an hour since the update",
        "the app does not show notifications any more",
        "pictures do not load on the website",
        "the speaker makes a crackling noise over bluetooth",
    ],
}


def main() -> None:
    """Writes train.jsonl (400 rows) and evaluation.jsonl (100 rows), which share no row."""
    rows = [
        {"input_text": f"{INSTRUCTION}{opening} {message}.", "output_text": team}
        for team, messages in MESSAGES.items()
        for opening, message in product(OPENINGS, messages)
    ]
    random.Random(0).shuffle(rows)
    for name, part in (("train", rows[:400]), ("evaluation", rows[400:])):
        lines = [json.dumps(row, ensure_ascii=False) + "\n" for row in part]
        (FOLDER / f"{name}.jsonl").write_text("".join(lines), encoding="utf-8")


if __name__ == "__main__":
    main()
