"""Names that columns are known by, most of them from public data sets and shops' exports.

Knows names; knows nothing about what is in a column. A name is compared in lower case without
anything but letters and digits: `userId`, `USER_ID` and `user id` are one.
"""

from collections.abc import Sequence

_USER = (
    {"userid", "user", "uid"},
    {
        "customerid", "customer", "visitorid", "visitor", "memberid", "member", "reviewerid",
        "reviewer", "accountid", "account", "buyerid", "buyer", "clientid", "client", "personid",
        "profileid", "username", "shopperid", "subscriberid",
    },
)  # fmt: skip
_ITEM = (
    {"itemid", "item", "iid"},
    {
        "productid", "product", "parentasin", "asin", "sku", "articleid", "article", "movieid",
        "movie", "bookid", "book", "isbn", "trackid", "track", "songid", "song", "artistid",
        "artist", "gameid", "game", "videoid", "video", "businessid", "business", "recipeid",
        "recipe", "newsid", "appid", "contentid", "content", "courseid", "showid", "animeid",
        "restaurantid", "listingid", "offerid", "postid",
    },
)  # fmt: skip
NAMES: dict[str, Sequence[set[str]]] = {
    "user": _USER,
    "item": _ITEM,
    "id": (*_ITEM, {"id"}),
    "rating": (
        {"rating", "ratings", "stars"},
        {"score", "overall", "grade", "userrating", "reviewrating", "bookrating", "starrating"},
    ),
    "count": (
        {"plays", "playcount", "count", "quantity", "qty", "listens", "views", "clicks", "weight"},
    ),
    "event": ({"event", "eventtype"}, {"type", "action", "behavior", "behaviour", "activity"}),
    "timestamp": (
        {"timestamp", "datetime"},
        {
            "time", "ts", "date", "eventtime", "createdat", "created", "unixreviewtime",
            "reviewtime", "reviewdate", "ratedat", "ratingdate", "purchasedate", "purchasedat",
            "orderdate", "reviewedat", "reviewed", "ratedon", "watchedat", "playedat", "viewedat",
            "orderedat", "occurredat", "updatedat", "visittime", "eventtimestamp",
        },
    ),
    "label": ({"xlabel"},),
    "title": (
        {"title", "itemtitle", "movietitle", "booktitle", "producttitle"},
        {"name", "itemname", "productname", "headline", "displayname"},
    ),
    "year": ({"year", "releaseyear", "publicationyear", "yearofpublication"},),
    "categories": (
        {"categories", "genres", "category", "genre"},
        {"tags", "class", "department", "producttype", "topics", "cuisine", "maincategory"},
    ),
    "text": (
        {
            "description", "overview", "plot", "summary", "text", "abstract", "synopsis", "body",
            "tagline", "features", "keywords", "blurb", "content",
        },
    ),
    "available": ({"available", "isavailable", "instock", "availability", "stock", "inventory"},),
    "picture": (
        {"picture", "image", "pictureurl", "imageurl"},
        {
            "poster", "posterpath", "posterurl", "img", "imgurl", "imagepath", "imurl", "photo",
            "photourl", "thumbnail", "thumbnailurl", "cover", "coverurl", "imageurll", "images",
        },
    ),
}  # fmt: skip
"""By what a column may be: names that leave little doubt, then others."""


def named(role: str, columns: Sequence[str]) -> list[str]:
    """Columns that may be this by their names: of all the likely ones, the likeliest."""
    for names in NAMES[role]:
        found = [column for column in columns if _plain(column) in names]
        if found:
            return found
    return []


def _plain(name: str) -> str:
    return "".join(character for character in name.lower() if character.isalnum())
