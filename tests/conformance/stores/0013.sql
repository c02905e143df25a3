CREATE TABLE alembic_version (
    version_num VARCHAR(32) NOT NULL,
    CONSTRAINT alembic_version_pkc PRIMARY KEY (version_num)
);

-- The tables that upgrades start from: of revision 0013, as Alembic wrote them for
-- PostgreSQL. What SQLite has in place of it: see test_schema.py.

CREATE TABLE installation (
    id INTEGER NOT NULL,
    keyring_fingerprint TEXT,
    created_at BIGINT NOT NULL,
    marks TEXT DEFAULT '{}' NOT NULL,
    PRIMARY KEY (id)
);

CREATE TABLE generations (
    account TEXT COLLATE "C" NOT NULL,
    generation BIGINT NOT NULL,
    PRIMARY KEY (account)
);

CREATE TABLE accounts (
    account TEXT COLLATE "C" NOT NULL,
    alias TEXT COLLATE "C",
    session_salt BYTEA NOT NULL,
    created_at BIGINT NOT NULL,
    quotas TEXT DEFAULT '{}' NOT NULL,
    options TEXT DEFAULT '{}' NOT NULL,
    password_policy TEXT,
    PRIMARY KEY (account),
    UNIQUE (alias)
);

CREATE TABLE revocations (
    account TEXT COLLATE "C" NOT NULL,
    target TEXT COLLATE "C" NOT NULL,
    not_before_ms BIGINT,
    expires_at BIGINT NOT NULL,
    reason TEXT NOT NULL,
    PRIMARY KEY (account, target)
);

CREATE TABLE users (
    user_id TEXT COLLATE "C" NOT NULL,
    account TEXT COLLATE "C" NOT NULL,
    name TEXT NOT NULL,
    name_key TEXT COLLATE "C" NOT NULL,
    path TEXT COLLATE "C" NOT NULL,
    created_at BIGINT NOT NULL,
    tags TEXT DEFAULT '{}' NOT NULL,
    boundary_arn TEXT COLLATE "C",
    PRIMARY KEY (user_id),
    CONSTRAINT users_name UNIQUE (account, name_key)
);

CREATE INDEX users_boundary ON users (account, boundary_arn);

CREATE TABLE access_keys (
    access_key_id TEXT COLLATE "C" NOT NULL,
    account TEXT COLLATE "C" NOT NULL,
    user_id TEXT COLLATE "C",
    status TEXT NOT NULL,
    sealed_secret BYTEA NOT NULL,
    created_at BIGINT NOT NULL,
    PRIMARY KEY (access_key_id)
);

CREATE INDEX access_keys_age ON access_keys (account, created_at) WHERE status = 'Active';

CREATE INDEX access_keys_owner ON access_keys (account, user_id);

CREATE TABLE used_access_key_ids (
    access_key_id TEXT COLLATE "C" NOT NULL,
    PRIMARY KEY (access_key_id)
) /* WITHOUT ROWID */;

CREATE TABLE roles (
    role_id TEXT COLLATE "C" NOT NULL,
    account TEXT COLLATE "C" NOT NULL,
    name TEXT NOT NULL,
    name_key TEXT COLLATE "C" NOT NULL,
    path TEXT COLLATE "C" NOT NULL,
    trust_policy TEXT NOT NULL,
    created_at BIGINT NOT NULL,
    description TEXT,
    max_session_duration_seconds INTEGER NOT NULL,
    tags TEXT DEFAULT '{}' NOT NULL,
    boundary_arn TEXT COLLATE "C",
    PRIMARY KEY (role_id),
    CONSTRAINT roles_name UNIQUE (account, name_key)
);

CREATE INDEX roles_boundary ON roles (account, boundary_arn);

CREATE TABLE groups (
    group_id TEXT COLLATE "C" NOT NULL,
    account TEXT COLLATE "C" NOT NULL,
    name TEXT NOT NULL,
    name_key TEXT COLLATE "C" NOT NULL,
    path TEXT COLLATE "C" NOT NULL,
    created_at BIGINT NOT NULL,
    PRIMARY KEY (group_id),
    CONSTRAINT groups_name UNIQUE (account, name_key)
);

CREATE TABLE group_members (
    group_id TEXT COLLATE "C" NOT NULL,
    user_id TEXT COLLATE "C" NOT NULL,
    account TEXT COLLATE "C" NOT NULL,
    PRIMARY KEY (group_id, user_id)
);

CREATE INDEX group_members_user ON group_members (account, user_id);

CREATE TABLE login_profiles (
    user_id TEXT COLLATE "C" NOT NULL,
    account TEXT COLLATE "C" NOT NULL,
    sealed BYTEA NOT NULL,
    created_at BIGINT NOT NULL,
    changed_at BIGINT NOT NULL,
    reset_required INTEGER NOT NULL,
    PRIMARY KEY (user_id)
);

CREATE INDEX ix_login_profiles_account ON login_profiles (account);

CREATE TABLE mfa_devices (
    account TEXT COLLATE "C" NOT NULL,
    serial_key TEXT COLLATE "C" NOT NULL,
    serial TEXT NOT NULL,
    is_virtual INTEGER NOT NULL,
    sealed_seed BYTEA NOT NULL,
    created_at BIGINT NOT NULL,
    period_seconds INTEGER NOT NULL,
    user_id TEXT COLLATE "C",
    enabled_at BIGINT,
    tags TEXT DEFAULT '{}' NOT NULL,
    last_step BIGINT NOT NULL,
    drift INTEGER NOT NULL,
    failures INTEGER NOT NULL,
    locked_until BIGINT NOT NULL,
    PRIMARY KEY (account, serial_key)
);

CREATE INDEX mfa_devices_user ON mfa_devices (account, user_id);

CREATE TABLE passkeys (
    account TEXT COLLATE "C" NOT NULL,
    serial_key TEXT COLLATE "C" NOT NULL,
    serial TEXT NOT NULL,
    user_id TEXT COLLATE "C" NOT NULL,
    credential_id BYTEA NOT NULL,
    public_key BYTEA NOT NULL,
    enabled_at BIGINT NOT NULL,
    sign_count BIGINT NOT NULL,
    transports TEXT NOT NULL,
    aaguid TEXT NOT NULL,
    synced INTEGER NOT NULL,
    last_used_at BIGINT,
    PRIMARY KEY (account, serial_key),
    CONSTRAINT passkeys_credential UNIQUE (account, credential_id)
);

CREATE INDEX passkeys_user ON passkeys (account, user_id);

CREATE TABLE user_credentials (
    credential_id TEXT COLLATE "C" NOT NULL,
    account TEXT COLLATE "C" NOT NULL,
    kind TEXT COLLATE "C" NOT NULL,
    user_id TEXT COLLATE "C" NOT NULL,
    status TEXT NOT NULL,
    created_at BIGINT NOT NULL,
    fingerprint TEXT NOT NULL,
    body TEXT NOT NULL,
    sealed BYTEA NOT NULL,
    expires_at BIGINT,
    details TEXT DEFAULT '{}' NOT NULL,
    PRIMARY KEY (credential_id)
);

CREATE INDEX user_credentials_end ON user_credentials (account, expires_at) WHERE expires_at IS NOT NULL;

CREATE INDEX user_credentials_user ON user_credentials (account, kind, user_id);

CREATE TABLE server_certificates (
    certificate_id TEXT COLLATE "C" NOT NULL,
    account TEXT COLLATE "C" NOT NULL,
    name TEXT NOT NULL,
    name_key TEXT COLLATE "C" NOT NULL,
    path TEXT COLLATE "C" NOT NULL,
    body TEXT NOT NULL,
    chain TEXT,
    sealed_key BYTEA NOT NULL,
    uploaded_at BIGINT NOT NULL,
    expires_at BIGINT NOT NULL,
    tags TEXT DEFAULT '{}' NOT NULL,
    PRIMARY KEY (certificate_id),
    CONSTRAINT server_certificates_name UNIQUE (account, name_key)
);

CREATE TABLE instance_profiles (
    profile_id TEXT COLLATE "C" NOT NULL,
    account TEXT COLLATE "C" NOT NULL,
    name TEXT NOT NULL,
    name_key TEXT COLLATE "C" NOT NULL,
    path TEXT COLLATE "C" NOT NULL,
    created_at BIGINT NOT NULL,
    role_id TEXT COLLATE "C",
    tags TEXT DEFAULT '{}' NOT NULL,
    PRIMARY KEY (profile_id),
    CONSTRAINT instance_profiles_name UNIQUE (account, name_key)
);

CREATE INDEX instance_profiles_role ON instance_profiles (account, role_id);

CREATE TABLE deletion_tasks (
    account TEXT COLLATE "C" NOT NULL,
    task_id TEXT COLLATE "C" NOT NULL,
    status TEXT NOT NULL,
    made_at BIGINT NOT NULL,
    reason TEXT NOT NULL,
    PRIMARY KEY (account, task_id)
);

CREATE TABLE instances (
    account TEXT COLLATE "C" NOT NULL,
    instance_id TEXT COLLATE "C" NOT NULL,
    region TEXT NOT NULL,
    public_key BYTEA NOT NULL,
    registered_at BIGINT NOT NULL,
    registered_by TEXT COLLATE "C" NOT NULL,
    profile_id TEXT COLLATE "C",
    provider_id TEXT COLLATE "C" NOT NULL,
    subject TEXT COLLATE "C" NOT NULL,
    PRIMARY KEY (account, instance_id),
    CONSTRAINT instances_key UNIQUE (account, public_key)
);

CREATE INDEX instances_profile ON instances (account, profile_id);

CREATE TABLE join_tokens (
    account TEXT COLLATE "C" NOT NULL,
    token_id TEXT COLLATE "C" NOT NULL,
    profile_id TEXT COLLATE "C" NOT NULL,
    digest BYTEA NOT NULL,
    created_at BIGINT NOT NULL,
    expires_at BIGINT NOT NULL,
    created_by TEXT NOT NULL,
    addresses TEXT DEFAULT '[]' NOT NULL,
    instance_id TEXT COLLATE "C" NOT NULL,
    lineage TEXT DEFAULT '[]' NOT NULL,
    PRIMARY KEY (account, token_id),
    CONSTRAINT join_tokens_digest UNIQUE (account, digest)
);

CREATE TABLE trust_anchors (
    anchor_id TEXT COLLATE "C" NOT NULL,
    account TEXT COLLATE "C" NOT NULL,
    region TEXT NOT NULL,
    name TEXT NOT NULL,
    certificates TEXT NOT NULL,
    enabled BIGINT NOT NULL,
    created_at BIGINT NOT NULL,
    updated_at BIGINT NOT NULL,
    tags TEXT DEFAULT '{}' NOT NULL,
    PRIMARY KEY (anchor_id)
);

CREATE INDEX ix_trust_anchors_account ON trust_anchors (account);

CREATE TABLE certificate_profiles (
    profile_id TEXT COLLATE "C" NOT NULL,
    account TEXT COLLATE "C" NOT NULL,
    region TEXT NOT NULL,
    name TEXT NOT NULL,
    role_arns TEXT DEFAULT '[]' NOT NULL,
    managed_policy_arns TEXT DEFAULT '[]' NOT NULL,
    session_policy TEXT,
    duration_seconds BIGINT NOT NULL,
    accepts_session_name BIGINT NOT NULL,
    attribute_mappings TEXT DEFAULT '{}' NOT NULL,
    enabled BIGINT NOT NULL,
    created_by TEXT NOT NULL,
    created_at BIGINT NOT NULL,
    updated_at BIGINT NOT NULL,
    tags TEXT DEFAULT '{}' NOT NULL,
    PRIMARY KEY (profile_id)
);

CREATE INDEX ix_certificate_profiles_account ON certificate_profiles (account);

CREATE TABLE certificate_lists (
    list_id TEXT COLLATE "C" NOT NULL,
    account TEXT COLLATE "C" NOT NULL,
    anchor_id TEXT COLLATE "C" NOT NULL,
    region TEXT NOT NULL,
    name TEXT NOT NULL,
    data BYTEA NOT NULL,
    enabled BIGINT NOT NULL,
    created_at BIGINT NOT NULL,
    updated_at BIGINT NOT NULL,
    tags TEXT DEFAULT '{}' NOT NULL,
    PRIMARY KEY (list_id)
);

CREATE INDEX ix_certificate_lists_account ON certificate_lists (account);

CREATE TABLE inline_policies (
    owner_id TEXT COLLATE "C" NOT NULL,
    name TEXT COLLATE "C" NOT NULL,
    account TEXT COLLATE "C" NOT NULL,
    document TEXT NOT NULL,
    PRIMARY KEY (owner_id, name)
);

CREATE INDEX ix_inline_policies_account ON inline_policies (account);

CREATE TABLE managed_policies (
    policy_id TEXT COLLATE "C" NOT NULL,
    account TEXT COLLATE "C" NOT NULL,
    name TEXT NOT NULL,
    name_key TEXT COLLATE "C" NOT NULL,
    path TEXT COLLATE "C" NOT NULL,
    description TEXT,
    default_version_id TEXT NOT NULL,
    next_version INTEGER NOT NULL,
    created_at BIGINT NOT NULL,
    updated_at BIGINT NOT NULL,
    tags TEXT DEFAULT '{}' NOT NULL,
    PRIMARY KEY (policy_id),
    CONSTRAINT managed_policies_name UNIQUE (account, name_key)
);

CREATE TABLE policy_versions (
    policy_id TEXT COLLATE "C" NOT NULL,
    version_id TEXT NOT NULL,
    account TEXT COLLATE "C" NOT NULL,
    number INTEGER NOT NULL,
    document TEXT NOT NULL,
    created_at BIGINT NOT NULL,
    PRIMARY KEY (policy_id, version_id)
);

CREATE INDEX ix_policy_versions_account ON policy_versions (account);

CREATE TABLE attachments (
    owner_id TEXT COLLATE "C" NOT NULL,
    policy_arn TEXT COLLATE "C" NOT NULL,
    account TEXT COLLATE "C" NOT NULL,
    name_key TEXT COLLATE "C" NOT NULL,
    PRIMARY KEY (owner_id, policy_arn)
);

CREATE INDEX attachments_policy ON attachments (account, policy_arn);

CREATE TABLE services (
    service_id TEXT COLLATE "C" NOT NULL,
    account TEXT COLLATE "C" NOT NULL,
    name TEXT COLLATE "C" NOT NULL,
    definition TEXT NOT NULL,
    created_at BIGINT NOT NULL,
    updated_at BIGINT NOT NULL,
    PRIMARY KEY (service_id),
    CONSTRAINT services_name UNIQUE (account, name)
);

CREATE TABLE service_tokens (
    account TEXT COLLATE "C" NOT NULL,
    token_id TEXT COLLATE "C" NOT NULL,
    service_id TEXT COLLATE "C" NOT NULL,
    digest BYTEA NOT NULL,
    created_at BIGINT NOT NULL,
    expires_at BIGINT NOT NULL,
    addresses TEXT DEFAULT '[]' NOT NULL,
    PRIMARY KEY (account, token_id)
);

CREATE TABLE resource_policies (
    account TEXT COLLATE "C" NOT NULL,
    arn TEXT COLLATE "C" NOT NULL,
    document TEXT NOT NULL,
    created_at BIGINT NOT NULL,
    updated_at BIGINT NOT NULL,
    PRIMARY KEY (account, arn)
);

CREATE TABLE upstreams (
    account TEXT COLLATE "C" NOT NULL,
    name TEXT COLLATE "C" NOT NULL,
    definition TEXT NOT NULL,
    access_key_id TEXT NOT NULL,
    sealed_secret BYTEA,
    created_at BIGINT NOT NULL,
    updated_at BIGINT NOT NULL,
    PRIMARY KEY (account, name)
);

CREATE TABLE saml_providers (
    uuid TEXT COLLATE "C" NOT NULL,
    account TEXT COLLATE "C" NOT NULL,
    name TEXT COLLATE "C" NOT NULL,
    metadata TEXT NOT NULL,
    created_at BIGINT NOT NULL,
    valid_until BIGINT NOT NULL,
    encryption_mode TEXT NOT NULL,
    private_keys TEXT DEFAULT '[]' NOT NULL,
    tags TEXT DEFAULT '{}' NOT NULL,
    options TEXT DEFAULT '{}' NOT NULL,
    PRIMARY KEY (uuid),
    CONSTRAINT saml_providers_name UNIQUE (account, name)
);

CREATE TABLE oidc_providers (
    unique_id TEXT COLLATE "C" NOT NULL,
    account TEXT COLLATE "C" NOT NULL,
    host_and_path TEXT COLLATE "C" NOT NULL,
    url TEXT NOT NULL,
    client_ids TEXT DEFAULT '[]' NOT NULL,
    thumbprints TEXT DEFAULT '[]' NOT NULL,
    created_at BIGINT NOT NULL,
    tags TEXT DEFAULT '{}' NOT NULL,
    options TEXT DEFAULT '{}' NOT NULL,
    PRIMARY KEY (unique_id),
    CONSTRAINT oidc_providers_url UNIQUE (account, host_and_path)
);

CREATE TABLE ldap_providers (
    unique_id TEXT COLLATE "C" NOT NULL,
    account TEXT COLLATE "C" NOT NULL,
    name TEXT COLLATE "C" NOT NULL,
    directory TEXT NOT NULL,
    created_at BIGINT NOT NULL,
    options TEXT DEFAULT '{}' NOT NULL,
    PRIMARY KEY (unique_id),
    CONSTRAINT ldap_providers_name UNIQUE (account, name)
);

CREATE TABLE ldap_sign_ins (
    provider_id TEXT COLLATE "C" NOT NULL,
    subject TEXT COLLATE "C" NOT NULL,
    account TEXT COLLATE "C" NOT NULL,
    provider TEXT COLLATE "C" NOT NULL,
    until BIGINT NOT NULL,
    asked_at BIGINT NOT NULL,
    PRIMARY KEY (provider_id, subject)
);

CREATE INDEX ix_ldap_sign_ins_asked_at ON ldap_sign_ins (asked_at);

CREATE TABLE provisioned_users (
    account TEXT COLLATE "C" NOT NULL,
    provider_id TEXT COLLATE "C" NOT NULL,
    user_id TEXT COLLATE "C" NOT NULL,
    user_name TEXT NOT NULL,
    name_key TEXT COLLATE "C" NOT NULL,
    external_id TEXT COLLATE "C" NOT NULL,
    email TEXT COLLATE "C" NOT NULL,
    active INTEGER NOT NULL,
    document TEXT NOT NULL,
    version BIGINT NOT NULL,
    created_at BIGINT NOT NULL,
    updated_at BIGINT NOT NULL,
    not_before BIGINT,
    departed_at BIGINT,
    PRIMARY KEY (user_id)
);

CREATE INDEX provisioned_users_by_name ON provisioned_users (account, provider_id, name_key);

CREATE INDEX provisioned_users_departed ON provisioned_users (account, provider_id, departed_at);

CREATE INDEX provisioned_users_email ON provisioned_users (account, provider_id, email);

CREATE INDEX provisioned_users_external ON provisioned_users (account, provider_id, external_id);

CREATE UNIQUE INDEX provisioned_users_name ON provisioned_users (account, provider_id, name_key) WHERE departed_at IS NULL;

CREATE TABLE provisioned_groups (
    account TEXT COLLATE "C" NOT NULL,
    provider_id TEXT COLLATE "C" NOT NULL,
    group_id TEXT COLLATE "C" NOT NULL,
    name TEXT NOT NULL,
    name_key TEXT COLLATE "C" NOT NULL,
    external_id TEXT COLLATE "C" NOT NULL,
    version BIGINT NOT NULL,
    created_at BIGINT NOT NULL,
    updated_at BIGINT NOT NULL,
    PRIMARY KEY (group_id),
    CONSTRAINT provisioned_groups_name UNIQUE (account, provider_id, name_key)
);

CREATE TABLE provisioned_members (
    account TEXT COLLATE "C" NOT NULL,
    group_id TEXT COLLATE "C" NOT NULL,
    user_id TEXT COLLATE "C" NOT NULL,
    PRIMARY KEY (group_id, user_id)
);

CREATE INDEX provisioned_members_user ON provisioned_members (user_id);

CREATE TABLE scim_tokens (
    account TEXT COLLATE "C" NOT NULL,
    token_id TEXT COLLATE "C" NOT NULL,
    provider_id TEXT COLLATE "C" NOT NULL,
    provider_arn TEXT NOT NULL,
    digest BYTEA NOT NULL,
    created_at BIGINT NOT NULL,
    expires_at BIGINT NOT NULL,
    addresses TEXT DEFAULT '[]' NOT NULL,
    PRIMARY KEY (account, token_id)
);

CREATE TABLE replay_marks (
    "key" BYTEA NOT NULL,
    mint_id TEXT NOT NULL,
    expires_at BIGINT NOT NULL,
    PRIMARY KEY ("key")
) /* WITHOUT ROWID */;

CREATE INDEX ix_replay_marks_expires_at ON replay_marks (expires_at);

CREATE TABLE audit (
    seq BIGSERIAL NOT NULL,
    event_id TEXT COLLATE "C" NOT NULL,
    at BIGINT NOT NULL,
    account TEXT COLLATE "C" NOT NULL,
    caller_arn TEXT NOT NULL,
    access_key_id TEXT COLLATE "C" NOT NULL,
    minted_key_id TEXT COLLATE "C" NOT NULL,
    action TEXT NOT NULL,
    decision TEXT NOT NULL,
    provider_arn TEXT NOT NULL,
    body TEXT NOT NULL,
    kind TEXT COLLATE "C" DEFAULT 'change' NOT NULL,
    PRIMARY KEY (seq)
);

CREATE INDEX audit_access_key_id ON audit (access_key_id, at, seq) WHERE access_key_id != '';

CREATE INDEX audit_at ON audit (at, seq);

CREATE INDEX audit_failures ON audit (account, decision, at, seq) WHERE decision <> 'allowed';

CREATE INDEX audit_kind ON audit (account, kind, at, seq);

CREATE INDEX audit_minted_key_id ON audit (minted_key_id) WHERE minted_key_id != '';

CREATE INDEX ix_audit_event_id ON audit (event_id);

CREATE TABLE audit_counts (
    account TEXT COLLATE "C" NOT NULL,
    hour BIGINT NOT NULL,
    measure TEXT COLLATE "C" NOT NULL,
    name TEXT COLLATE "C" NOT NULL,
    count BIGINT NOT NULL,
    PRIMARY KEY (account, hour, measure, name)
) /* WITHOUT ROWID */;

CREATE TABLE uses (
    account TEXT COLLATE "C" NOT NULL,
    subject TEXT COLLATE "C" NOT NULL,
    service TEXT COLLATE "C" NOT NULL,
    action TEXT COLLATE "C" NOT NULL,
    at BIGINT NOT NULL,
    region TEXT NOT NULL,
    PRIMARY KEY (account, subject, service, action)
);

CREATE TABLE reports (
    account TEXT COLLATE "C" NOT NULL,
    report_id TEXT COLLATE "C" NOT NULL,
    made_at BIGINT NOT NULL,
    body TEXT NOT NULL,
    PRIMARY KEY (account, report_id)
);

CREATE TABLE cache_entries (
    space TEXT NOT NULL,
    "key" BYTEA NOT NULL,
    value BYTEA NOT NULL,
    expires_at_ms BIGINT NOT NULL,
    PRIMARY KEY (space, "key")
);

CREATE INDEX ix_cache_entries_expires_at_ms ON cache_entries (expires_at_ms);

CREATE TABLE cache_sessions (
    access_key_id TEXT COLLATE "C" NOT NULL,
    account TEXT COLLATE "C" NOT NULL,
    expires_at BIGINT NOT NULL,
    body TEXT NOT NULL,
    PRIMARY KEY (access_key_id)
);

CREATE INDEX cache_sessions_account ON cache_sessions (account);

CREATE INDEX ix_cache_sessions_expires_at ON cache_sessions (expires_at);

INSERT INTO alembic_version (version_num) VALUES ('0013');
