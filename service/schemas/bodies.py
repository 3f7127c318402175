"""What bodies and parameters of requests have in common."""

from pydantic import BaseModel, ConfigDict, JsonValue


def shown(*examples: dict[str, JsonValue], **more: JsonValue) -> ConfigDict:
    """The configuration of a body that is documented with examples."""
    return ConfigDict(json_schema_extra={**more, "examples": list(examples)})


class Whole(BaseModel):
    """Refuses names that are not known."""

    model_config = ConfigDict(extra="forbid", hide_input_in_errors=True)


class Body(Whole):
    """Takes values of exactly the documented types."""

    model_config = ConfigDict(strict=True)
