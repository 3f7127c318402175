"""How results are shown to people: charts, HTML pages and sections of Markdown documents."""
