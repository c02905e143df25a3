"""Maps a request to an S3 store to its action, and the bucket or object.

Of method and query. A sub-resource that is not known, or more than one, means no action:
stores may differ on which of them counts. Nor do requests that name their objects only in
the body (deletions of many objects, uploads by a form).

Source: Amazon S3 API reference; Service Authorization Reference, "Actions, resources,
and condition keys for Amazon S3".
"""

from collections.abc import Mapping
from urllib.parse import parse_qsl

from broker.protocols.enforcement.mapping import ActionOnResource

_QUERY_PARAMETERS_MAX = 100

_BUCKET_CONFIGURATIONS = {
    # sub-resource: what stands between Get or Put and the end
    "acl": "BucketAcl",
    "cors": "BucketCORS",
    "encryption": "EncryptionConfiguration",
    "lifecycle": "LifecycleConfiguration",
    "logging": "BucketLogging",
    "notification": "BucketNotification",
    "object-lock": "BucketObjectLockConfiguration",
    "ownershipControls": "BucketOwnershipControls",
    "policy": "BucketPolicy",
    "publicAccessBlock": "BucketPublicAccessBlock",
    "replication": "ReplicationConfiguration",
    "requestPayment": "BucketRequestPayment",
    "tagging": "BucketTagging",
    "versioning": "BucketVersioning",
    "website": "BucketWebsite",
}
_BUCKET: Mapping[tuple[str, str], str] = {
    ("GET", ""): "ListBucket",
    ("GET", "location"): "GetBucketLocation",
    ("GET", "policyStatus"): "GetBucketPolicyStatus",
    ("GET", "uploads"): "ListBucketMultipartUploads",
    ("GET", "versions"): "ListBucketVersions",
    ("HEAD", ""): "ListBucket",
    ("PUT", ""): "CreateBucket",
    ("DELETE", ""): "DeleteBucket",
    **{("GET", sub): f"Get{what}" for sub, what in _BUCKET_CONFIGURATIONS.items()},
    **{("PUT", sub): f"Put{what}" for sub, what in _BUCKET_CONFIGURATIONS.items()},
    **{
        # What has no delete action can be deleted by those who may put it.
        ("DELETE", sub): f"Put{_BUCKET_CONFIGURATIONS[sub]}"
        for sub in (
            *("cors", "encryption", "lifecycle", "ownershipControls"),
            *("publicAccessBlock", "replication", "tagging"),
        )
    },
    ("DELETE", "policy"): "DeleteBucketPolicy",
    ("DELETE", "website"): "DeleteBucketWebsite",
}
_OBJECT: Mapping[tuple[str, str], str] = {
    ("GET", ""): "GetObject",
    ("GET", "acl"): "GetObjectAcl",
    ("GET", "attributes"): "GetObjectAttributes",
    ("GET", "legal-hold"): "GetObjectLegalHold",
    ("GET", "retention"): "GetObjectRetention",
    ("GET", "tagging"): "GetObjectTagging",
    ("GET", "uploadId"): "ListMultipartUploadParts",
    ("HEAD", ""): "GetObject",
    ("PUT", ""): "PutObject",
    ("PUT", "acl"): "PutObjectAcl",
    ("PUT", "legal-hold"): "PutObjectLegalHold",
    ("PUT", "retention"): "PutObjectRetention",
    ("PUT", "tagging"): "PutObjectTagging",
    ("PUT", "uploadId"): "PutObject",
    ("POST", "restore"): "RestoreObject",
    ("POST", "uploadId"): "PutObject",
    ("POST", "uploads"): "PutObject",
    ("DELETE", ""): "DeleteObject",
    ("DELETE", "tagging"): "DeleteObjectTagging",
    ("DELETE", "uploadId"): "AbortMultipartUpload",
}
_VERSIONED = {
    # actions that are others for one version of the object
    "DeleteObject": "DeleteObjectVersion",
    "DeleteObjectTagging": "DeleteObjectVersionTagging",
    "GetObject": "GetObjectVersion",
    "GetObjectAcl": "GetObjectVersionAcl",
    "GetObjectAttributes": "GetObjectVersionAttributes",
    "GetObjectTagging": "GetObjectVersionTagging",
    "PutObjectAcl": "PutObjectVersionAcl",
    "PutObjectTagging": "PutObjectVersionTagging",
}
_SUBRESOURCES = frozenset(sub for _, sub in (*_BUCKET, *_OBJECT) if sub)
_PLAIN = frozenset(
    {
        "allow-unordered",
        "continuation-token",
        "delimiter",
        "encoding-type",
        "fetch-owner",
        "key-marker",
        "list-type",
        "marker",
        "max-keys",
        "max-parts",
        "max-uploads",
        "part-number-marker",
        "partNumber",
        "prefix",
        "start-after",
        "upload-id-marker",
        "version-id-marker",
        "versionId",
        "x-id",
        # signatures in the query
        "AWSAccessKeyId",
        "Expires",
        "Signature",
        "x-amz-security-token",
    }
)
_PLAIN_PREFIXES = ("response-", "X-Amz-")
_KEYS = ("prefix", "delimiter", "max-keys", "versionId")


def read_s3_request(
    method: str, bucket: str, key: str, query: str
) -> tuple[ActionOnResource, Mapping[str, tuple[str, ...]]] | None:
    """The action on the resource, and S3's condition keys; None if it means none.

    ``query`` is what follows the question mark, as it was sent.
    """
    params = _read_query(query)
    if params is None:
        return None
    subresources = [name for name in params if name in _SUBRESOURCES]
    sub = subresources[0] if subresources else ""
    if not bucket:
        is_list = method == "GET" and not (key or sub)
        return (ActionOnResource("s3:ListAllMyBuckets", "*"), {}) if is_list else None
    action = (_OBJECT if key else _BUCKET).get((method, sub))
    if action is None or len(subresources) > 1:
        return None
    if key and params.get("versionId"):
        action = _VERSIONED.get(action, action)
    resource = f"arn:aws:s3:::{bucket}/{key}" if key else f"arn:aws:s3:::{bucket}"
    context = {f"s3:{name}": (params[name],) for name in _KEYS if name in params}
    return ActionOnResource(f"s3:{action}", resource), context


def _read_query(query: str) -> dict[str, str] | None:
    """The parameters, each known and there once; None otherwise."""
    try:
        pairs = parse_qsl(
            query, keep_blank_values=True, max_num_fields=_QUERY_PARAMETERS_MAX
        )
    except ValueError:
        return None
    params = dict(pairs)
    is_known = all(
        name in _SUBRESOURCES or name in _PLAIN or name.startswith(_PLAIN_PREFIXES)
        for name in params
    )
    return params if is_known and len(params) == len(pairs) else None
