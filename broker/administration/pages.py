"""All pages for administrators, in the order of their routes."""

from broker.administration.access_summary import AccessSummary
from broker.administration.account_settings import AccountSettings
from broker.administration.credential_report import CredentialReport
from broker.administration.embedded_policies import EmbeddedPolicies
from broker.administration.groups import Groups
from broker.administration.holdings import Holdings
from broker.administration.last_accessed import LastAccessed
from broker.administration.policies import Policies
from broker.administration.policy_editing import PolicyEditing
from broker.administration.provider_diagnosis import ProviderDiagnosis
from broker.administration.provider_page import ProviderPage
from broker.administration.providers import Providers
from broker.administration.role_creation import RoleCreation
from broker.administration.role_page import RolePage
from broker.administration.roles import Roles
from broker.administration.simulator import Simulator
from broker.administration.user import UserPages
from broker.administration.user_credentials import UserCredentialPages
from broker.administration.user_deletion import UserDeletion
from broker.administration.users import Users
from broker.console.routes import FramedPagesOf

ADMINISTRATION: tuple[FramedPagesOf, ...] = (
    AccessSummary,
    AccountSettings,
    CredentialReport,
    EmbeddedPolicies,
    Groups,
    Holdings,
    LastAccessed,
    Policies,
    PolicyEditing,
    ProviderDiagnosis,
    ProviderPage,
    Providers,
    RoleCreation,
    RolePage,
    Roles,
    Simulator,
    UserPages,
    UserCredentialPages,
    UserDeletion,
    Users,
)
