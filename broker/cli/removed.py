"""Commands of earlier versions, and what to use instead of each.

Profiles, units and scripts may still start them, so they answer for one release.
"""

from collections.abc import Sequence


def _template(command: str, setting: str) -> str:
    return (
        f"`broker account {command}` has been removed. Set {setting} under `Broker` in"
        " the account's template, and run `broker apply` (docs/apply.md)."
    )


_REPLACEMENTS = {
    ("login",): (
        "`broker login` has been removed. Use `aws sso login` or `aws login`, and take the"
        " credential_process out of this profile (docs/portal.md)."
    ),
    ("webhook",): (
        "`broker webhook` has been removed. On Kubernetes 1.36 or newer, apply"
        " samples/kubernetes/pod-roles.yaml; for older clusters see docs/pods.md."
    ),
    ("keys", "reseal"): (
        "`broker keys reseal` has been removed: running brokers seal stored secrets again"
        " by themselves after `broker keys rotate`."
    ),
    ("account", "regions"): _template("regions", "DisabledRegions"),
    ("account", "unlisted-policies"): _template(
        "unlisted-policies", "AcceptUnlistedAwsPolicies"
    ),
    ("account", "console-options"): _template(
        "console-options", "SetProviderOptionsInConsole"
    ),
    ("account", "manage-root"): _template("manage-root", "RootManagedBy"),
    ("mfa", "list"): (
        "`broker mfa list` has been removed. Use `aws iam list-virtual-mfa-devices` and"
        " `aws iam list-mfa-devices`."
    ),
    ("mfa", "deactivate"): (
        "`broker mfa deactivate` has been removed. Use `aws iam deactivate-mfa-device`."
    ),
    ("agent", "pods"): (
        "`broker agent pods` has been removed. Give pods a token of their own, or run"
        " `broker agent` beside the program (docs/pods.md)."
    ),
}


def find_replacement(words: Sequence[str]) -> str | None:
    """What to say to a command line that starts with a removed command."""
    return next(
        (
            sentence
            for command, sentence in _REPLACEMENTS.items()
            if tuple(words[: len(command)]) == command
        ),
        None,
    )
