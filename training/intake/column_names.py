"""Names that columns are known by, most of them from public data sets and shops' exports.

Knows names; knows nothing about what is in a column. A name is compared in lower case without
accents and anything but letters and digits: `userId`, `USER_ID` and `user id` are one.
"""

from collections.abc import Sequence
from unicodedata import normalize

_USER = (
    {"userid", "user", "uid"},
    {
        "customerid", "customer", "visitorid", "visitor", "memberid", "member", "reviewerid",
        "reviewer", "accountid", "account", "buyerid", "buyer", "clientid", "client", "personid",
        "profileid", "username", "shopperid", "subscriberid",
        "customerno", "customernr", "customernumber", "custid", "custno", "userno", "usernumber",
        "kunde", "kundenid", "kundennr", "kundennummer", "benutzer", "nutzer", "nutzerid",
        "idclient", "clientno", "utilisateur", "numclient", "cliente", "idcliente",
        "usuario", "idusuario", "utente", "idutente", "klant", "klantid", "klantnr",
    },
    {
        "email", "emailaddress", "customeremail", "useremail", "buyeremail", "customername",
        "buyername", "kundenname", "nomclient", "nombrecliente",
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
        "itemno", "itemnumber", "itemcode", "productno", "productnumber", "productcode", "prodid",
        "articleno", "articlenumber", "stockcode", "ean", "gtin", "lineitemsku",
        "artikel", "artikelid", "artikelnr", "artikelnummer", "produkt", "produktid", "produktnr",
        "produit", "idproduit", "refproduit", "idarticle", "producto", "idproducto", "articulo",
        "prodotto", "idprodotto", "produto", "idproduto",
    },
)  # fmt: skip
NAMES: dict[str, Sequence[set[str]]] = {
    "user": _USER,
    "item": _ITEM,
    "id": (*_ITEM, {"id"}),
    "rating": (
        {"rating", "ratings", "stars"},
        {"score", "overall", "grade", "userrating", "reviewrating", "bookrating", "starrating",
         "bewertung", "sterne", "note", "wertung", "evaluation", "etoiles", "valoracion",
         "puntuacion", "estrellas", "voto", "valutazione", "avaliacao", "nota", "beoordeling"},
    ),
    "count": (
        {"plays", "playcount", "count", "quantity", "qty", "listens", "views", "clicks", "weight",
         "lineitemquantity", "menge", "anzahl", "quantite", "cantidad", "quantita"},
    ),
    "event": ({"event", "eventtype"}, {"type", "action", "behavior", "behaviour", "activity"}),
    "timestamp": (
        {"timestamp", "datetime"},
        {
            "time", "ts", "date", "eventtime", "createdat", "created", "unixreviewtime",
            "reviewtime", "reviewdate", "ratedat", "ratingdate", "purchasedate", "purchasedat",
            "orderdate", "reviewedat", "reviewed", "ratedon", "watchedat", "playedat", "viewedat",
            "orderedat", "occurredat", "updatedat", "visittime", "eventtimestamp",
            "invoicedate", "boughtat", "boughton", "purchasedon", "orderedon",
            "datum", "zeit", "zeitpunkt", "zeitstempel", "kaufdatum", "bestelldatum", "gekauftam",
            "dateachat", "datecommande", "fecha", "data", "datacompra",
        },
    ),
    "label": ({"xlabel"},),
    "title": (
        {"title", "itemtitle", "movietitle", "booktitle", "producttitle"},
        {"name", "itemname", "productname", "headline", "displayname", "lineitemname",
         "titel", "bezeichnung", "produktname", "artikelname", "titre", "nom", "titulo", "nombre",
         "titolo", "nome", "naam"},
    ),
    "year": (
        {"year", "releaseyear", "publicationyear", "yearofpublication", "jahr", "annee", "anno"},
    ),
    "categories": (
        {"categories", "genres", "category", "genre"},
        {"tags", "class", "department", "producttype", "topics", "cuisine", "maincategory",
         "kategorie", "kategorien", "warengruppe", "rubrik", "categorie", "categoria",
         "genero", "genere"},
    ),
    "text": (
        {
            "description", "overview", "plot", "summary", "text", "abstract", "synopsis", "body",
            "tagline", "features", "keywords", "blurb", "content", "productdescription",
            "beschreibung", "inhalt", "zusammenfassung", "descriptif", "resume", "descripcion",
            "descrizione", "descricao", "beschrijving",
        },
    ),
    "available": ({"available", "isavailable", "instock", "availability", "stock", "inventory"},),
    "picture": (
        {"picture", "image", "pictureurl", "imageurl"},
        {
            "poster", "posterpath", "posterurl", "img", "imgurl", "imagepath", "imurl", "photo",
            "photourl", "thumbnail", "thumbnailurl", "cover", "coverurl", "imageurll", "images",
            "bild", "bildurl", "foto", "immagine", "imagen", "imagem", "afbeelding",
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
    return "".join(each for each in normalize("NFKD", name).lower() if each.isalnum())
