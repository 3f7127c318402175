"""Words of ten languages that shops put over their columns, by role, and what they sell."""

NAMES: dict[str, dict[str, list[str]]] = {
    "en": {
        "user": ["user_id", "userId", "Customer ID", "customer", "member_id", "visitorid"],
        "item": ["item_id", "product_id", "ProductID", "Product Code", "SKU", "article"],
        "rating": ["rating", "Rating", "score", "stars", "Review Rating"],
        "count": ["quantity", "Qty", "plays", "Units"],
        "event": ["event", "event_type", "action"],
        "time": ["timestamp", "created_at", "Order Date", "date", "event_time", "Purchased at"],
        "title": ["title", "Product Name", "name", "Item name"],
        "category": ["category", "Categories", "genre", "Department"],
    },
    "de": {
        "user": ["Kundennummer", "Kunden-Nr.", "Kunde", "Nutzer", "KundenID"],
        "item": ["Artikelnummer", "Artikel-Nr.", "Produkt", "Artikel", "Produkt-ID"],
        "rating": ["Bewertung", "Sterne"],
        "count": ["Menge", "Anzahl", "Stückzahl"],
        "event": ["Ereignis", "Aktion"],
        "time": ["Datum", "Bestelldatum", "Zeitpunkt", "Kaufdatum"],
        "title": ["Titel", "Bezeichnung", "Produktname", "Artikelbezeichnung"],
        "category": ["Kategorie", "Warengruppe"],
    },
    "fr": {
        "user": ["Client", "ID client", "Numéro client", "Utilisateur"],
        "item": ["Produit", "ID produit", "Référence produit", "Réf. article"],
        "rating": ["Note", "Évaluation"],
        "count": ["Quantité", "Qté"],
        "event": ["Événement", "Action"],
        "time": ["Date", "Date de commande", "Date d'achat", "Horodatage"],
        "title": ["Titre", "Nom du produit", "Libellé"],
        "category": ["Catégorie", "Rayon"],
    },
    "es": {
        "user": ["Cliente", "ID de cliente", "Usuario"],
        "item": ["Producto", "ID de producto", "Artículo", "Código de producto"],
        "rating": ["Valoración", "Puntuación"],
        "count": ["Cantidad", "Unidades"],
        "event": ["Evento", "Acción"],
        "time": ["Fecha", "Fecha de compra", "Fecha del pedido"],
        "title": ["Título", "Nombre del producto", "Nombre"],
        "category": ["Categoría"],
    },
    "it": {
        "user": ["Cliente", "ID cliente", "Utente", "Codice cliente"],
        "item": ["Prodotto", "ID prodotto", "Codice articolo", "Articolo"],
        "rating": ["Valutazione", "Voto"],
        "count": ["Quantità"],
        "event": ["Evento", "Azione"],
        "time": ["Data", "Data ordine", "Data acquisto"],
        "title": ["Titolo", "Nome prodotto", "Descrizione articolo"],
        "category": ["Categoria"],
    },
    "pt": {
        "user": ["Cliente", "ID do cliente", "Utilizador", "Usuário"],
        "item": ["Produto", "ID do produto", "Código do produto"],
        "rating": ["Avaliação", "Nota"],
        "count": ["Quantidade"],
        "event": ["Evento", "Ação"],
        "time": ["Data", "Data da compra", "Data do pedido"],
        "title": ["Título", "Nome do produto"],
        "category": ["Categoria"],
    },
    "nl": {
        "user": ["Klant", "Klantnummer", "Gebruiker"],
        "item": ["Artikel", "Artikelnummer", "Productcode"],
        "rating": ["Beoordeling", "Score"],
        "count": ["Aantal"],
        "event": ["Gebeurtenis", "Actie"],
        "time": ["Datum", "Besteldatum", "Tijdstip"],
        "title": ["Titel", "Productnaam"],
        "category": ["Categorie"],
    },
    "pl": {
        "user": ["Klient", "ID klienta", "Użytkownik"],
        "item": ["Produkt", "ID produktu", "Kod produktu"],
        "rating": ["Ocena"],
        "count": ["Ilość", "Liczba sztuk"],
        "event": ["Zdarzenie", "Akcja"],
        "time": ["Data", "Data zamówienia", "Data zakupu"],
        "title": ["Tytuł", "Nazwa produktu", "Nazwa"],
        "category": ["Kategoria"],
    },
    "sv": {
        "user": ["Kund", "Kundnummer", "Användare"],
        "item": ["Artikel", "Artikelnummer", "Produkt"],
        "rating": ["Betyg"],
        "count": ["Antal"],
        "event": ["Händelse", "Åtgärd"],
        "time": ["Datum", "Orderdatum", "Beställningsdatum"],
        "title": ["Titel", "Produktnamn", "Benämning"],
        "category": ["Kategori"],
    },
    "tr": {
        "user": ["Müşteri", "Müşteri No", "Kullanıcı"],  # noqa: RUF001
        "item": ["Ürün", "Ürün Kodu", "Stok Kodu"],
        "rating": ["Puan", "Değerlendirme"],
        "count": ["Adet", "Miktar"],
        "event": ["Olay", "İşlem"],
        "time": ["Tarih", "Sipariş Tarihi"],
        "title": ["Başlık", "Ürün Adı"],  # noqa: RUF001
        "category": ["Kategori"],
    },
}
DECOYS = {
    "row number": ["", "row", "Nr.", "id", "index", "Unnamed: 0", "lfd. Nr."],
    "price": ["price", "Preis", "prix", "Unit Price", "amount", "Lineitem price", "precio"],
    "session": ["session_id", "session", "sessionId"],
    "order": [
        "order_id",
        "Order ID",
        "Bestellnummer",
        "invoice_no",
        "transaction_id",
        "No. commande",
    ],
    "person": ["customer_name", "Customer Name", "Kundenname", "buyer", "full_name", "nickname"],
    "second date": ["shipped_at", "delivery date", "Lieferdatum", "paid_at", "updated_at"],
    "variant": ["variant_id", "store_id", "warehouse", "size_id", "category_id"],
    "country": ["country", "Land", "pays", "ship_country"],
    "currency": ["currency", "Währung"],
    "status": ["status", "order_status", "Financial Status"],
    "flag": ["is_gift", "verified", "newsletter_sent"],
    "helpful": ["helpful_votes", "upvotes"],
    "comment": ["comment", "review_text", "note_to_seller"],
}
"""Columns that are beside the point, and look as if they were not."""
PEOPLE = ["Ann Lee", "Bo Ek", "Zoë Vos", "José Díaz", "Łukasz Nowak", "Ida Holm", "Ömer Kaya"]
THINGS = [
    "Green tea", "Wool, 4-ply", "Cup", "Teapot", "Crème brûlée", "Łosoś", 'Honey "raw"',
    "Jam; plum", "Rye bread", "Żurek", "Smörgås", "Fig & nut", "Kahve", "Olives 1,5 kg",
]  # fmt: skip
CATEGORIES = ["Tea", "Wool", "Kitchen", "Food & Drink", "Crafts", "Süßes", "Home, Garden"]
LIKES = ["view", "purchase", "add_to_cart", "Kauf", "click", "PURCHASE", "wishlist"]
DISLIKES = ["remove_from_cart", "refund", "cancelled", "return", "dislike", "Storno"]
GOOD_STATES = ["paid", "shipped", "completed"]
