-- Who may do what: permissions of keys, third parties that a project lets in (OAuth), who works on a project, and answers kept for those who ask again.

SET lock_timeout = '5s';

ALTER TABLE api_key
  ADD COLUMN permissions text[], -- what a secret key may do; null: everything, now and later
  ADD COLUMN reads_customers boolean NOT NULL GENERATED ALWAYS AS (
    permissions IS NULL OR permissions && ARRAY['customer_information:customers:read', 'customer_information:customers:read_write']) STORED,
  ADD CONSTRAINT api_key_public_has_no_permissions CHECK (kind = 'secret' OR permissions IS NULL);

CREATE TABLE collaborator ( -- who works on a project
  project_id      text NOT NULL REFERENCES project,
  collaborator_id text NOT NULL,
  email           text NOT NULL,
  name            text,
  role            text NOT NULL CHECK (role IN ('owner', 'admin', 'developer', 'growth', 'support', 'view_only')),
  accepted_at     timestamptz,
  created_at      timestamptz NOT NULL,
  PRIMARY KEY (project_id, collaborator_id)
);
CREATE UNIQUE INDEX collaborator_email ON collaborator (project_id, lower(email));

CREATE TABLE idempotent_request ( -- what a request with an Idempotency-Key was answered, for those who ask again
  project_id      text NOT NULL REFERENCES project,
  key_id          text NOT NULL,
  idempotency_key text NOT NULL,
  request_hash    bytea NOT NULL, -- SHA-256 of method, address and body
  status          integer,        -- null: being worked on, or its worker died
  body            bytea,          -- encrypted: it may show a secret that is shown once
  claimed_until   timestamptz,
  wake_at         timestamptz NOT NULL, -- when it is forgotten
  PRIMARY KEY (project_id, key_id, idempotency_key),
  CHECK ((status IS NULL) = (body IS NULL) AND (status IS NULL) = (claimed_until IS NOT NULL))
);
CREATE INDEX idempotent_request_wake ON idempotent_request (project_id, wake_at);

-- Third parties (OAuth 2.1). Its instants are the wall clock's: a sandbox whose clock stands still must not keep a token alive.

CREATE TABLE oauth_client (
  project_id    text NOT NULL REFERENCES project,
  client_id     text NOT NULL,
  name          text NOT NULL,
  redirect_uris text[] NOT NULL CHECK (cardinality(redirect_uris) > 0),
  permissions   text[] NOT NULL CHECK (cardinality(permissions) > 0), -- the most it may ask for
  secret_hash   bytea, -- null: a public client, such as an app on somebody's machine
  created_at    timestamptz NOT NULL,
  PRIMARY KEY (project_id, client_id)
);
CREATE INDEX oauth_client_directory ON oauth_client (client_id);

CREATE TABLE oauth_grant ( -- what a person let a client do
  project_id  text NOT NULL,
  grant_id    text NOT NULL,
  client_id   text NOT NULL,
  permissions text[] NOT NULL,
  created_at  timestamptz NOT NULL,
  revoked_at  timestamptz,
  PRIMARY KEY (project_id, grant_id),
  FOREIGN KEY (project_id, client_id) REFERENCES oauth_client ON DELETE CASCADE
);

CREATE TABLE oauth_code (
  project_id   text NOT NULL,
  grant_id     text NOT NULL,
  hash         bytea NOT NULL,
  redirect_uri text NOT NULL,
  challenge    text NOT NULL, -- PKCE, S256
  expires_at   timestamptz NOT NULL,
  used_at      timestamptz,
  PRIMARY KEY (project_id, grant_id),
  FOREIGN KEY (project_id, grant_id) REFERENCES oauth_grant ON DELETE CASCADE
);
CREATE INDEX oauth_code_hash ON oauth_code (hash);

CREATE TABLE oauth_token (
  project_id text NOT NULL,
  grant_id   text NOT NULL,
  hash       bytea NOT NULL,
  kind       text NOT NULL CHECK (kind IN ('access', 'refresh')),
  expires_at timestamptz NOT NULL,
  used_at    timestamptz, -- of a refresh token: a second use is a thief's, or a theft's victim's
  PRIMARY KEY (project_id, grant_id, hash),
  FOREIGN KEY (project_id, grant_id) REFERENCES oauth_grant ON DELETE CASCADE,
  CHECK (kind = 'refresh' OR used_at IS NULL)
);
CREATE INDEX oauth_token_hash ON oauth_token (hash);

-- Doors through the tenant wall.

DROP FUNCTION find_keys(bytea[]);
CREATE FUNCTION find_keys(hashes bytea[])
RETURNS TABLE (hash bytea, project_id text, key_id text, kind text, app_id text, store text, reaches text[], permissions text[])
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = public, pg_temp AS $$
#variable_conflict use_column
BEGIN
  RETURN QUERY
    SELECT k.hash, k.project_id, k.key_id, k.kind, k.app_id, a.store, k.reaches, k.permissions
    FROM api_key k LEFT JOIN app a ON a.project_id = k.project_id AND a.app_id = k.app_id
    WHERE k.hash = ANY (hashes) AND k.revoked_at IS NULL;
END $$;

-- What a third party's access token stands for.
CREATE FUNCTION find_access_token(wanted bytea, wall timestamptz) RETURNS TABLE (project_id text, grant_id text, permissions text[])
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = public, pg_temp AS $$
#variable_conflict use_column
BEGIN
  RETURN QUERY
    SELECT g.project_id, g.grant_id, g.permissions
    FROM oauth_token t JOIN oauth_grant g ON g.project_id = t.project_id AND g.grant_id = t.grant_id
    WHERE t.hash = wanted AND t.kind = 'access' AND t.expires_at > wall AND g.revoked_at IS NULL;
END $$;

-- Whose code or token this is: third parties send it without naming the project.
CREATE FUNCTION project_of_oauth_secret(wanted bytea) RETURNS text
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = public, pg_temp AS $$
  SELECT project_id FROM oauth_code WHERE hash = wanted UNION ALL SELECT project_id FROM oauth_token WHERE hash = wanted LIMIT 1
$$;

CREATE FUNCTION project_of_oauth_client(wanted text) RETURNS text
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = public, pg_temp AS $$
  SELECT project_id FROM oauth_client WHERE client_id = wanted
$$;

-- The projects a key may enter, a page at a time: those with clocks of their own cannot be entered together.
CREATE FUNCTION projects_of(wanted text[], after text, most integer) RETURNS SETOF project
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = public, pg_temp AS $$
  SELECT * FROM project WHERE project_id = ANY (wanted) AND (after IS NULL OR project_id > after) ORDER BY project_id LIMIT most
$$;

REVOKE ALL ON FUNCTION find_keys(bytea[]), find_access_token(bytea, timestamptz), project_of_oauth_secret(bytea), project_of_oauth_client(text),
  projects_of(text[], text, integer) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION find_keys(bytea[]), find_access_token(bytea, timestamptz), project_of_oauth_secret(bytea), project_of_oauth_client(text),
  projects_of(text[], text, integer) TO perennial_app;
