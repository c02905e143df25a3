"""A Ceph Object Gateway that asks the broker what its users may do."""

import json
import subprocess
from pathlib import Path
from typing import Any

import boto3
import pytest
from botocore.config import Config
from botocore.exceptions import ClientError

from tests.support.broker import running_broker
from tests.support.ceph import Gateway, radosgw
from tests.support.machine_agent import broker_client
from tests.support.programs import program
from tests.support.rows import of_file
from tests.support.versitygw import DEFINITION

pytestmark = [pytest.mark.long, program("Ceph", "radosgw")]

_STATEMENTS: list[dict[str, Any]] = of_file(__file__, "_STATEMENTS")


def make_user(gateway: Gateway, name: str) -> Any:
    """A user of the store's own, and a client with their keys."""
    done = subprocess.run(
        [
            *("radosgw-admin", "-n", "client.rgw", "user", "create"),
            *("--uid", name, "--display-name", name),
        ],
        env={"PATH": "/usr/bin:/usr/sbin:/bin", **gateway.environment},
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    (key,) = json.loads(done.stdout)["keys"]
    return boto3.client(
        "s3",
        endpoint_url=gateway.url,
        region_name="us-east-1",
        aws_access_key_id=key["access_key"],
        aws_secret_access_key=key["secret_key"],
        config=Config(
            s3={"addressing_style": "path"}, retries={"total_max_attempts": 1}
        ),
    )


def code(call: Any, **params: Any) -> str:
    """The code of an error; empty if there is none."""
    try:
        call(**params)
    except ClientError as error:
        stored_code: str = error.response["Error"]["Code"]
        return stored_code
    return ""


def test_ceph_asks_before_it_acts(tmp_path: Path) -> None:
    folder = tmp_path / "broker"
    folder.mkdir()
    with running_broker(folder) as broker:
        root = broker.create_account()
        iam, api = broker.client("iam", root), broker_client(broker, root)
        api.put_service(ServiceName="s3", Definition=json.dumps(DEFINITION))
        token = api.create_service_token(ServiceName="s3")["Token"]
        iam.create_user(UserName="alice")
        document = {"Version": "2012-10-17", "Statement": _STATEMENTS}
        iam.put_user_policy(
            UserName="alice", PolicyName="Own", PolicyDocument=json.dumps(document)
        )
        settings = {
            "rgw_use_opa_authz": "true",
            "rgw_opa_url": f"{broker.url}/v1/data/ceph/authz",
            "rgw_opa_token": token,
        }
        with radosgw(tmp_path / "ceph", **settings) as gateway:
            s3, bob = make_user(gateway, "alice"), make_user(gateway, "bob")
            told = {"Bucket": "reports"}
            assert code(s3.create_bucket, **told) == ""
            assert code(s3.create_bucket, Bucket="other") == "AccessDenied"
            assert code(bob.create_bucket, Bucket="bobs") == "AccessDenied"
            for key in ("a", "dir/b c"):
                assert code(s3.put_object, **told, Key=key, Body=b"x") == ""
                assert code(s3.get_object, **told, Key=key) == ""
                assert code(s3.head_object, **told, Key=key) == ""
            refused = code(s3.put_object, **told, Key="secret/a", Body=b"x")
            assert refused == "AccessDenied"
            # What is missing is reported before anybody is asked.
            assert code(s3.get_object, **told, Key="secret/a") == "NoSuchKey"
            assert code(s3.list_objects_v2, **told, Prefix="dir/") == ""
            assert code(s3.get_bucket_acl, **told) == ""
            policy = {"Version": "2012-10-17", "Statement": []}
            params = {**told, "Policy": json.dumps(policy)}
            assert code(s3.put_bucket_policy, **params) == "AccessDenied"
            made = s3.create_multipart_upload(**told, Key="big")
            part = {**told, "Key": "big", "UploadId": made["UploadId"]}
            assert code(s3.upload_part, **part, PartNumber=1, Body=b"x") == ""
            assert code(s3.abort_multipart_upload, **part) == ""
            many = {"Objects": [{"Key": "a"}]}
            assert code(s3.delete_objects, **told, Delete=many) == "AccessDenied"
            assert code(s3.delete_object, **told, Key="a") == ""
            assert code(s3.delete_bucket, **told) == "AccessDenied"
            assert code(s3.list_buckets) == "AccessDenied"
            iam.delete_user_policy(UserName="alice", PolicyName="Own")
            assert code(s3.get_object, **told, Key="dir/b c") == "AccessDenied"
        log = broker.log
        assert "secret_key" not in log
