"""Tags in a text field: one ``key=value`` per line."""

from broker.errors import ValidationError

_TAGS_MAX = 60


def read_tags(text: str) -> list[dict[str, str]]:
    """Parse the tags of a field into the form that IAM's actions take.

    Raises:
        ValidationError: A line has no key or equals sign, or there are too many.
    """
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    if len(lines) > _TAGS_MAX:
        raise ValidationError("These are more tags than an entity can have.")
    tags = []
    for line in lines:
        key, sign, value = line.partition("=")
        if not sign or not key.strip():
            raise ValidationError(f"Enter tags as key=value, not {line[:80]}.")
        tags.append({"Key": key.strip(), "Value": value.strip()})
    return tags


def write_tags(tags: list[dict[str, str]]) -> str:
    """Tags as lines of ``key=value``."""
    return "\n".join(f"{tag['Key']}={tag['Value']}" for tag in tags)
