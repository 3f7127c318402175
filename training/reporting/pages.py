"""HTML pages, each one file that needs nothing from outside.

A page is a Jinja template beside the module that fills it. It extends `base.html.j2` of this
folder, and `parts.html.j2` has its tables and lists.
"""

from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined

_HERE = Path(__file__).parent


def render(template: Path, **values: object) -> str:
    """The page; every value is escaped unless the template marks it as safe.

    Args:
        template: a `.html.j2` file.
        values: what the template names.

    Raises:
        jinja2.UndefinedError: the template names something else.
    """
    environment = Environment(
        loader=FileSystemLoader([template.parent, _HERE]),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    return environment.get_template(template.name).render(values)
