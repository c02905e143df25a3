"""``ServerCertificates``: the properties of ``AWS::IAM::ServerCertificate``.

The private key is a secret, so certificates are uploaded by an API call. A template can
change their path and tags, and delete them.
"""

from collections.abc import Sequence

from broker.kinds.public_keys import parse_certificate, parse_chain
from broker.kinds.server_certificates import SERVER_CERTIFICATES as RULES
from broker.kinds.template.errors import TemplateError, at_place
from broker.kinds.template.kind import AccountReading, AccountWork
from broker.kinds.template.properties import Properties
from broker.kinds.template.section import Members, Section
from broker.model.credentials import ServerCertificate
from broker.stores.directory.port import DirectoryReader

_BODY, _CHAIN = "CertificateBody", "CertificateChain"


def _settle(found: Members, given: Properties, _reading: AccountReading) -> Members:
    with at_place(given.place):
        parse_certificate(found[_BODY])
        if found[_CHAIN]:
            parse_chain(found[_CHAIN])
    return found


async def _further(
    page: Sequence[ServerCertificate], _directory: DirectoryReader
) -> list[Members]:
    return [
        {_BODY: one.body.strip(), _CHAIN: (one.chain or "").strip()} for one in page
    ]


def _require_calls(
    before: Members | None, after: Members
) -> tuple[Members | None, tuple[str, ...]]:
    if before is not None:
        return after, ()
    name = after["ServerCertificateName"]
    return None, (f"server certificate {name}: call UploadServerCertificate",)


async def _check(
    before: ServerCertificate, wanted: Members, _work: AccountWork
) -> None:
    there = (before.body.strip(), (before.chain or "").strip())
    if there != (wanted[_BODY], wanted[_CHAIN]):
        raise TemplateError(
            _BODY, "another certificate is uploaded by a call, with its private key"
        )


SERVER_CERTIFICATES = Section(
    section="ServerCertificates",
    of=RULES,
    name="ServerCertificateName",
    reads={
        "ServerCertificateName": Properties.name,
        "Path": Properties.path,
        _BODY: lambda properties, name: properties.text(name).strip(),
        _CHAIN: lambda properties, name: (properties.optional_text(name) or "").strip(),
        "Tags": Properties.tags,
    },
    settle=_settle,
    further=_further,
    renamed={"ServerCertificateName": "NewServerCertificateName", "Path": "NewPath"},
    check=_check,
    require_calls=_require_calls,
)
