from training.encode.contents import passages


def text_of(**fields: object) -> str | None:
    (passage,) = passages([fields])
    return None if passage is None else passage.text


def test_a_passage_says_the_most_telling_first() -> None:
    text = text_of(
        overview="Two friends drink tea.", year=1997, title="Leaves", categories=["Drama", "Tea"]
    )
    assert text == "Leaves (1997). Drama, Tea. Two friends drink tea."


def test_a_year_in_the_title_is_not_repeated() -> None:
    assert text_of(title="Leaves (1997)", year=1997) == "Leaves (1997)."


def test_sentences_keep_their_own_ends() -> None:
    assert text_of(title="Tea?", description="Yes!") == "Tea? Yes!"


def test_an_item_without_words_has_no_passage() -> None:
    assert text_of() is None
    assert text_of(picture_url="images/1.jpg", imdb_id="tt1") is None


def test_equal_texts_have_equal_digests() -> None:
    one, same, other = passages([{"title": "Tea"}, {"title": "Tea"}, {"title": "Wool"}])
    assert one is not None
    assert same is not None
    assert other is not None
    assert one.digest == same.digest
    assert one.digest != other.digest
