"""Import of own data: tables of any common kind become the data folder that training reads.

    formats    delimited text, JSON Lines and Parquet -> records
    sources    the given files, each a table of strings
    mapping    what the columns mean, as TOML
    names      what names of columns and of events mean
    guess      the mapping that names and values suggest, and the questions that stay open
    tables     interactions and users: checked, ids and times made uniform
    items      items: checked, with their pictures
    folder     the data folder, written whole or not at all
    summary    the figures of an import, as text and as a page
    job        all of it in order

`values` reads absent values, numbers and lists, `times` reads times; `rejects` collects the rows
that cannot be used.
"""
