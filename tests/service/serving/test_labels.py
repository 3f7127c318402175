"""Titles in sentences of the service: the same words as those of the page."""

import pytest

from service.serving.labels import display_name


@pytest.mark.parametrize(
    ("title", "said"),
    [
        ("Fugitive, The", "The Fugitive"),
        ("Fish Called Wanda, A (1988)", "A Fish Called Wanda (1988)"),
        ("Good, the Bad and the Ugly, The", "The Good, the Bad and the Ugly"),
        (
            "City of Lost Children, The (Cité des enfants perdus, La) (1995)",
            "The City of Lost Children (La Cité des enfants perdus) (1995)",
        ),
        ("Avventura, L' (1960)", "L'Avventura (1960)"),
        ("Me, Myself & Irene", "Me, Myself & Irene"),
        ("Alien", "Alien"),
    ],
)
def test_titles_are_said_as_people_say_them(title: str, said: str) -> None:
    assert display_name(title) == said
