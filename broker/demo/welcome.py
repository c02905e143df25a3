"""The demo's greeting: links to open and commands to paste."""

from rich.console import Console
from rich.panel import Panel

from broker.demo.aws_profiles import ANALYST_PROFILE, CONFIG_FILE, WORKLOAD_PROFILE
from broker.demo.people import ACCOUNT, ALIAS
from broker.demo.run import DemoPlace
from broker.demo.seed import CREDENTIALS_FILE, PORTAL_PROFILE


def announce(place: DemoPlace, *, kept: bool) -> None:
    """Print the greeting of a running demo."""
    console = Console()
    idp, broker = place.idp_origin, place.broker_origin
    click = (
        f"[bold]{idp}/[/]\n  the demo identity provider: sign in as Ana, Ben or Dana\n"
        f"[bold]{broker}/signin[/]\n  the broker's own sign-in page"
        f" (account {ACCOUNT}, alias {ALIAS})\n"
        f"[bold]{broker}/portal/{ALIAS}[/]\n  the access portal: accounts and roles,"
        " and what `aws sso login` needs"
    )
    console.print(Panel(click, title="Click", title_align="left", padding=(1, 2)))
    # Printed without a frame, so that it can be copied as is.
    console.print("[bold]Paste[/] into another terminal (AWS CLI 2.13 or newer):\n")
    for line in (
        f"export AWS_CONFIG_FILE={place.folder / CONFIG_FILE}",
        f"export AWS_SHARED_CREDENTIALS_FILE={place.folder / CREDENTIALS_FILE}",
        "",
        "# a workload with its ID token",
        f"aws sts get-caller-identity --profile {WORKLOAD_PROFILE}",
        "# a user with a long-term key, and a role that it assumes",
        f"aws sts get-caller-identity --profile {PORTAL_PROFILE}",
        f"aws iam list-roles --profile {ANALYST_PROFILE}",
    ):
        console.print(line, soft_wrap=True, highlight=False, markup=False)
    end = "is kept" if kept else "is deleted when the demo stops"
    console.print(f"\n[dim]{place.folder} {end}. Stop with Ctrl-C.[/]", soft_wrap=True)
