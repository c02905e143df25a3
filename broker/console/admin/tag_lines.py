"""Tags as people type them: a line each, the key before the first equals sign."""

from broker.errors import ValidationError

_TAGS_MAX = 60


def read_tags(text: str) -> list[dict[str, str]]:
    """The tags of a field, as IAM's actions take them.

    Raises:
        ValidationError: a line has no equals sign, or there are too many.
    """
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    if len(lines) > _TAGS_MAX:
        raise ValidationError("That are more tags than an entity can have.")
    tags = []
    for line in lines:
        key, sign, value = line.partition("=")
        if not sign or not key.strip():
            raise ValidationError(f"Write a tag as key=value instead of {line[:80]}.")
        tags.append({"Key": key.strip(), "Value": value.strip()})
    return tags
