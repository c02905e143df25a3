"""The context for reading a template, from the settings."""

from functools import partial

from broker.federation.addresses import AddressRules
from broker.federation.provider_options import check_template_options
from broker.identities.template.kind import TemplateContext
from broker.settings import Settings
from broker.spelling import suggest


def template_context(settings: Settings) -> TemplateContext:
    """The installation's rules on issuers and on providers' options."""
    named = [entry for entry in settings.internal_issuers if entry.network is None]
    return TemplateContext(
        is_internal=AddressRules(settings.internal_issuers).names,
        home_region=settings.home_region,
        http_hosts=tuple(f"{entry.host}:{entry.port}" for entry in named),
        check_options=check_template_options,
        check_directory=partial(_check_directory, settings),
    )


def _check_directory(settings: Settings, directory: str) -> None:
    known = settings.directories.directories
    if directory not in known:
        raise ValueError(
            f"BROKER_DIRECTORIES_FILE has no directory {directory!r}; "
            + (suggest(directory, known) if known else "it is not set")
        )
