-- The whole first house: projects, catalog, customers, what they hold, what stores sent, what we told, and the wall between tenants.
--
-- Every key begins with project_id, and customer-owned tables carry customer_id in theirs, so that the same tables distribute by
-- customer. A column named wake_at is the row's place on the agenda: null means nothing is to be done.

DO $$
BEGIN
  IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'perennial_app') THEN
    CREATE ROLE perennial_app NOLOGIN;
  END IF;
EXCEPTION WHEN duplicate_object OR unique_violation THEN NULL; -- another database of this server was quicker
END $$;

DO $$
BEGIN
  IF NOT pg_has_role(current_user, 'perennial_app', 'MEMBER') THEN
    GRANT perennial_app TO CURRENT_USER;
  END IF;
END $$;

-- Projects and who may enter -------------------------------------------------------------------------------------------------

CREATE TABLE project (
  project_id           text PRIMARY KEY,
  name                 text NOT NULL,
  is_sandbox           boolean NOT NULL DEFAULT false, -- may have a clock of its own and trust simulated stores
  clock_at             timestamptz,                    -- its own time; null: the wall clock
  clock_started_at     timestamptz,                    -- set: its clock ticks with the wall from clock_at on; null: it stands still
  moving_until         timestamptz,                    -- by the wall clock: somebody is advancing its clock, and has it to themselves until then
  restore_behavior     text NOT NULL DEFAULT 'transfer' CHECK (restore_behavior IN ('transfer', 'transfer_if_inactive', 'keep', 'share')),
  fallback_offering_id text,
  catalog_version      bigint NOT NULL DEFAULT 1,      -- bumped by every write to the catalog: rendered documents compare it
  created_at           timestamptz NOT NULL,
  CHECK (clock_at IS NULL OR is_sandbox),
  CHECK (clock_started_at IS NULL OR clock_at IS NOT NULL)
);

CREATE TABLE app (
  project_id   text NOT NULL REFERENCES project,
  app_id       text NOT NULL,
  name         text NOT NULL,
  store        text NOT NULL,
  bundle_id    text,
  app_apple_id bigint,
  api_key_id   text,
  api_issuer   text,
  api_secret   bytea,   -- encrypted
  api_base_url text,
  created_at   timestamptz NOT NULL,
  PRIMARY KEY (project_id, app_id)
);

CREATE TABLE api_key (
  project_id text NOT NULL REFERENCES project,
  key_id     text NOT NULL,
  kind       text NOT NULL CHECK (kind IN ('public', 'secret')),
  app_id     text,
  label      text NOT NULL,
  hash       bytea NOT NULL, -- SHA-256 of the key, which has 192 bits of chance
  public_key text,           -- the key itself where it is public
  reaches    text[] NOT NULL DEFAULT '{}', -- further projects it may enter: those created with it
  created_at timestamptz NOT NULL,
  revoked_at timestamptz,
  PRIMARY KEY (project_id, key_id),
  FOREIGN KEY (project_id, app_id) REFERENCES app ON DELETE CASCADE,
  CHECK ((kind = 'public') = (app_id IS NOT NULL)),
  CHECK ((kind = 'public') = (public_key IS NOT NULL))
);
CREATE INDEX api_key_hash ON api_key (hash);

CREATE TABLE audit (
  project_id text NOT NULL REFERENCES project,
  audit_id   text NOT NULL,
  actor      text NOT NULL,
  action     text NOT NULL,
  target     text NOT NULL,
  at         timestamptz NOT NULL,
  data       jsonb NOT NULL,
  PRIMARY KEY (project_id, audit_id)
);

-- The catalog ------------------------------------------------------------------------------------------------------------------

CREATE TABLE product (
  project_id       text NOT NULL,
  product_id       text NOT NULL,
  app_id           text NOT NULL,
  store_identifier text NOT NULL,
  type             text NOT NULL CHECK (type IN ('subscription', 'one_time', 'consumable', 'non_consumable', 'non_renewing_subscription')),
  display_name     text,
  duration         text, -- ISO 8601
  trial_duration   text,
  created_at       timestamptz NOT NULL,
  PRIMARY KEY (project_id, product_id),
  UNIQUE (project_id, app_id, store_identifier),
  FOREIGN KEY (project_id, app_id) REFERENCES app ON DELETE CASCADE
);

CREATE TABLE price (
  project_id text NOT NULL,
  product_id text NOT NULL,
  currency   text NOT NULL CHECK (currency ~ '^[A-Z]{3}$'),
  amount     bigint NOT NULL CHECK (amount >= 0), -- minor units
  PRIMARY KEY (project_id, product_id, currency),
  FOREIGN KEY (project_id, product_id) REFERENCES product ON DELETE CASCADE
);

CREATE TABLE entitlement (
  project_id     text NOT NULL REFERENCES project,
  entitlement_id text NOT NULL,
  lookup_key     text NOT NULL,
  display_name   text NOT NULL,
  created_at     timestamptz NOT NULL,
  PRIMARY KEY (project_id, entitlement_id),
  UNIQUE (project_id, lookup_key)
);

CREATE TABLE entitlement_product (
  project_id     text NOT NULL,
  entitlement_id text NOT NULL,
  product_id     text NOT NULL,
  PRIMARY KEY (project_id, entitlement_id, product_id),
  FOREIGN KEY (project_id, entitlement_id) REFERENCES entitlement ON DELETE CASCADE,
  FOREIGN KEY (project_id, product_id) REFERENCES product ON DELETE CASCADE
);
CREATE INDEX entitlement_product_by_product ON entitlement_product (project_id, product_id);

CREATE TABLE offering (
  project_id   text NOT NULL REFERENCES project,
  offering_id  text NOT NULL,
  lookup_key   text NOT NULL,
  display_name text NOT NULL,
  metadata     jsonb,
  is_current   boolean NOT NULL DEFAULT false,
  created_at   timestamptz NOT NULL,
  PRIMARY KEY (project_id, offering_id),
  UNIQUE (project_id, lookup_key)
);
CREATE UNIQUE INDEX offering_one_is_current ON offering (project_id) WHERE is_current;

ALTER TABLE project ADD FOREIGN KEY (project_id, fallback_offering_id) REFERENCES offering ON DELETE SET NULL (fallback_offering_id);

CREATE TABLE package (
  project_id   text NOT NULL,
  package_id   text NOT NULL,
  offering_id  text NOT NULL,
  lookup_key   text NOT NULL,
  display_name text NOT NULL,
  position     integer NOT NULL CHECK (position >= 1),
  created_at   timestamptz NOT NULL,
  PRIMARY KEY (project_id, package_id),
  UNIQUE (project_id, offering_id, lookup_key),
  FOREIGN KEY (project_id, offering_id) REFERENCES offering ON DELETE CASCADE
);

CREATE TABLE package_product (
  project_id           text NOT NULL,
  package_id           text NOT NULL,
  product_id           text NOT NULL,
  eligibility_criteria text NOT NULL DEFAULT 'all' CHECK (eligibility_criteria IN ('all', 'google_sdk_lt_6', 'google_sdk_ge_6')),
  PRIMARY KEY (project_id, package_id, product_id),
  FOREIGN KEY (project_id, package_id) REFERENCES package ON DELETE CASCADE,
  FOREIGN KEY (project_id, product_id) REFERENCES product ON DELETE CASCADE
);
CREATE INDEX package_product_by_product ON package_product (project_id, product_id);

CREATE TABLE placement (
  project_id  text NOT NULL REFERENCES project,
  identifier  text NOT NULL,
  offering_id text, -- null: show nothing at this placement
  PRIMARY KEY (project_id, identifier),
  FOREIGN KEY (project_id, offering_id) REFERENCES offering ON DELETE CASCADE
);

-- Customers --------------------------------------------------------------------------------------------------------------------

CREATE TABLE customer (
  project_id                 text NOT NULL REFERENCES project,
  customer_id                text NOT NULL,
  original_app_user_id       text NOT NULL,
  first_seen_at              timestamptz NOT NULL,
  last_seen_at               timestamptz,
  last_seen_platform         text,
  last_seen_platform_version text,
  last_seen_app_version      text,
  last_seen_country          text,
  version                    bigint NOT NULL DEFAULT 1, -- bumped by every write about this customer, in its own transaction
  event_sequence             bigint NOT NULL DEFAULT 0, -- the number of the newest event told of this customer
  merged_into                text,                      -- an alias of another customer since
  PRIMARY KEY (project_id, customer_id)
);
CREATE INDEX customer_merged_into ON customer (project_id, merged_into) WHERE merged_into IS NOT NULL;

CREATE TABLE alias ( -- the directory: every app user id, and whose it is
  project_id  text NOT NULL,
  app_user_id text NOT NULL,
  customer_id text NOT NULL,
  created_at  timestamptz NOT NULL,
  PRIMARY KEY (project_id, app_user_id) INCLUDE (customer_id), -- the entitlement read needs no more of it
  FOREIGN KEY (project_id, customer_id) REFERENCES customer ON DELETE CASCADE
);
CREATE INDEX alias_by_customer ON alias (project_id, customer_id);

CREATE TABLE attribute (
  project_id  text NOT NULL,
  customer_id text NOT NULL,
  name        text NOT NULL,
  value       text, -- null: deleted, and remembered so that an older write cannot bring it back
  updated_at  timestamptz NOT NULL,
  PRIMARY KEY (project_id, customer_id, name),
  FOREIGN KEY (project_id, customer_id) REFERENCES customer ON DELETE CASCADE
);

CREATE INDEX attribute_email ON attribute (project_id, lower(value)) WHERE name = '$email';

CREATE TABLE customer_document ( -- the rendered answer of the entitlement read; right while both versions and the time agree
  project_id      text NOT NULL,
  customer_id     text NOT NULL,
  version         bigint NOT NULL,
  catalog_version bigint NOT NULL,
  fresh_until     timestamptz NOT NULL,
  body            bytea NOT NULL,
  PRIMARY KEY (project_id, customer_id),
  FOREIGN KEY (project_id, customer_id) REFERENCES customer ON DELETE CASCADE
);

-- What they hold ---------------------------------------------------------------------------------------------------------------

CREATE TABLE line_directory ( -- the store's key of a line, and where we keep it
  project_id  text NOT NULL REFERENCES project,
  store       text NOT NULL,
  environment text NOT NULL CHECK (environment IN ('production', 'sandbox')),
  store_line  text NOT NULL,
  customer_id text NOT NULL,
  line_id     text NOT NULL,
  PRIMARY KEY (project_id, store, environment, store_line)
);

CREATE TABLE line (
  project_id        text NOT NULL,
  customer_id       text NOT NULL,
  line_id           text NOT NULL,
  app_id            text NOT NULL,
  store             text NOT NULL,
  environment       text NOT NULL CHECK (environment IN ('production', 'sandbox')),
  store_line        text NOT NULL,
  told_auto_renew   boolean NOT NULL DEFAULT true,
  told_next_product text,
  heard_at          timestamptz NOT NULL, -- when the store last told us something new
  wake_at           timestamptz,
  PRIMARY KEY (project_id, customer_id, line_id),
  FOREIGN KEY (project_id, customer_id) REFERENCES customer,
  FOREIGN KEY (project_id, app_id) REFERENCES app
);
CREATE INDEX line_by_id ON line (project_id, line_id);
CREATE INDEX line_wake ON line (project_id, wake_at) WHERE wake_at IS NOT NULL;

CREATE TABLE purchase (
  project_id          text NOT NULL,
  customer_id         text NOT NULL,
  line_id             text NOT NULL,
  transaction         text NOT NULL,
  product             text NOT NULL,
  kind                text NOT NULL CHECK (kind IN ('subscription', 'consumable', 'non_consumable', 'non_renewing')),
  purchased_at        timestamptz NOT NULL,
  expires_at          timestamptz,
  as_of               timestamptz NOT NULL,
  is_first            boolean NOT NULL,
  is_renewal          boolean NOT NULL,
  period_type         text NOT NULL CHECK (period_type IN ('normal', 'intro', 'trial')),
  ownership           text NOT NULL CHECK (ownership IN ('purchased', 'family_shared')),
  price_amount        bigint,
  price_currency      text,
  quantity            integer NOT NULL,
  offer_kind          text,
  offer_identifier    text,
  country             text,
  revoked_at          timestamptz,
  revoked_refunded    boolean,
  revoked_share_ppm   integer CHECK (revoked_share_ppm BETWEEN 0 AND 1000000),
  is_superseded       boolean NOT NULL,
  is_summary          boolean NOT NULL,
  presented_offering  text,
  told_purchased      boolean NOT NULL,
  told_expires_at     timestamptz,
  told_revoked_at     timestamptz,
  told_expired        boolean NOT NULL,
  told_reversals      integer NOT NULL,
  told_billing_issue  boolean NOT NULL,
  recorded_at         timestamptz NOT NULL,
  PRIMARY KEY (project_id, customer_id, line_id, transaction),
  FOREIGN KEY (project_id, customer_id, line_id) REFERENCES line ON UPDATE CASCADE ON DELETE CASCADE,
  CHECK ((price_amount IS NULL) = (price_currency IS NULL)),
  CHECK ((revoked_at IS NULL) = (revoked_refunded IS NULL) AND (revoked_at IS NULL) = (revoked_share_ppm IS NULL)),
  CHECK (offer_kind IS NOT NULL OR offer_identifier IS NULL)
);

CREATE TABLE renewal (
  project_id       text NOT NULL,
  customer_id      text NOT NULL,
  line_id          text NOT NULL,
  as_of            timestamptz NOT NULL,
  transaction      text NOT NULL,
  auto_renew       boolean,
  next_product     text,
  off_reason       text,
  in_billing_retry boolean NOT NULL,
  grace_until      timestamptz,
  ended            text,
  price_consent    text CHECK (price_consent IN ('pending', 'accepted')),
  PRIMARY KEY (project_id, customer_id, line_id, as_of),
  FOREIGN KEY (project_id, customer_id, line_id) REFERENCES line ON UPDATE CASCADE ON DELETE CASCADE
);

-- What stores sent -------------------------------------------------------------------------------------------------------------

CREATE TABLE notification ( -- the inbox
  project_id  text NOT NULL,
  app_id      text NOT NULL,
  message_id  text NOT NULL, -- the store's own: its duplicates carry the same
  kind        text NOT NULL,
  sent_at     timestamptz NOT NULL,
  body        bytea NOT NULL,
  received_at timestamptz NOT NULL,
  attempts    integer NOT NULL DEFAULT 0,
  wake_at     timestamptz,
  digested_at timestamptz,
  outcome     text,
  last_error  text,
  PRIMARY KEY (project_id, app_id, message_id),
  FOREIGN KEY (project_id, app_id) REFERENCES app ON DELETE CASCADE
);
CREATE INDEX notification_wake ON notification (project_id, wake_at) WHERE wake_at IS NOT NULL;

CREATE TABLE inquiry ( -- a line the store's API should be asked about
  project_id  text NOT NULL,
  app_id      text NOT NULL,
  environment text NOT NULL CHECK (environment IN ('production', 'sandbox')),
  store_line  text NOT NULL,
  reason      text NOT NULL,
  attempts    integer NOT NULL DEFAULT 0,
  wake_at     timestamptz,
  last_error  text,
  PRIMARY KEY (project_id, app_id, environment, store_line),
  FOREIGN KEY (project_id, app_id) REFERENCES app ON DELETE CASCADE
);
CREATE INDEX inquiry_wake ON inquiry (project_id, wake_at) WHERE wake_at IS NOT NULL;

-- What happened, and who was told ----------------------------------------------------------------------------------------------

CREATE TABLE event (
  project_id  text NOT NULL REFERENCES project,
  customer_id text NOT NULL,
  event_id    text NOT NULL, -- a UUID derived from what happened: the same fact cannot be told twice
  sequence    bigint NOT NULL,
  type        text NOT NULL,
  app_id      text,
  environment text NOT NULL,
  happened_at timestamptz NOT NULL, -- in the world
  recorded_at timestamptz NOT NULL, -- by us
  body        jsonb NOT NULL,
  PRIMARY KEY (project_id, customer_id, event_id),
  UNIQUE (project_id, customer_id, sequence)
);
CREATE INDEX event_by_id ON event (project_id, event_id);
CREATE INDEX event_by_time ON event (project_id, recorded_at, event_id);

CREATE TABLE endpoint (
  project_id      text NOT NULL REFERENCES project,
  endpoint_id     text NOT NULL,
  name            text NOT NULL,
  url             text NOT NULL,
  authorization_header bytea,    -- encrypted; sent verbatim
  signing_secret  bytea NOT NULL, -- encrypted; Standard Webhooks
  environment     text CHECK (environment IN ('production', 'sandbox')),
  app_id          text,
  event_types     text[],
  created_at      timestamptz NOT NULL,
  last_success_at timestamptz,
  last_failure_at timestamptz,
  last_error      text,
  failures        integer NOT NULL DEFAULT 0, -- since the last success
  PRIMARY KEY (project_id, endpoint_id),
  FOREIGN KEY (project_id, app_id) REFERENCES app ON DELETE CASCADE
);

CREATE TABLE delivery ( -- the outbox: an event on its way to an endpoint
  project_id   text NOT NULL,
  customer_id  text NOT NULL,
  endpoint_id  text NOT NULL,
  event_id     text NOT NULL,
  sequence     bigint NOT NULL,
  attempts     integer NOT NULL DEFAULT 0,
  wake_at      timestamptz, -- null: delivered, or parked
  delivered_at timestamptz,
  parked_at    timestamptz,
  last_status  integer,
  last_error   text,
  PRIMARY KEY (project_id, customer_id, endpoint_id, event_id),
  FOREIGN KEY (project_id, endpoint_id) REFERENCES endpoint ON DELETE CASCADE,
  FOREIGN KEY (project_id, customer_id, event_id) REFERENCES event ON DELETE CASCADE,
  CHECK (wake_at IS NULL OR (delivered_at IS NULL AND parked_at IS NULL))
);
CREATE INDEX delivery_wake ON delivery (project_id, wake_at) WHERE wake_at IS NOT NULL;
CREATE INDEX delivery_by_endpoint ON delivery (project_id, endpoint_id);
CREATE INDEX delivery_open ON delivery (project_id, endpoint_id, customer_id, sequence) WHERE wake_at IS NOT NULL;

-- Simulated stores (sandbox projects only) ---------------------------------------------------------------------------------------

CREATE TABLE simulated_store ( -- a pen of its own: its signatures count in this project alone
  project_id text NOT NULL,
  app_id     text NOT NULL,
  pen        bytea NOT NULL, -- encrypted: private keys and certificates
  root       bytea NOT NULL, -- DER certificate
  PRIMARY KEY (project_id, app_id),
  FOREIGN KEY (project_id, app_id) REFERENCES app ON DELETE CASCADE
);

CREATE TABLE simulated_subscription (
  project_id text NOT NULL,
  app_id     text NOT NULL,
  store_line text NOT NULL,
  state      jsonb NOT NULL,
  wake_at    timestamptz,
  PRIMARY KEY (project_id, app_id, store_line),
  FOREIGN KEY (project_id, app_id) REFERENCES app ON DELETE CASCADE
);
CREATE INDEX simulated_subscription_wake ON simulated_subscription (project_id, wake_at) WHERE wake_at IS NOT NULL;

-- The agenda: everything later, in one place ---------------------------------------------------------------------------------------

CREATE VIEW agenda WITH (security_invoker = true) AS
            SELECT project_id, 'money' AS lane, 'notification' AS kind, wake_at FROM notification WHERE wake_at IS NOT NULL
  UNION ALL SELECT project_id, 'money', 'line', wake_at FROM line WHERE wake_at IS NOT NULL
  UNION ALL SELECT project_id, 'money', 'inquiry', wake_at FROM inquiry WHERE wake_at IS NOT NULL
  UNION ALL SELECT project_id, 'telling', 'delivery', wake_at FROM delivery WHERE wake_at IS NOT NULL
  UNION ALL SELECT project_id, 'simulation', 'simulated_subscription', wake_at FROM simulated_subscription WHERE wake_at IS NOT NULL;

-- The wall between tenants ---------------------------------------------------------------------------------------------------------
-- A transaction enters a set of projects; rows of others do not exist for it, and one that forgets to enter sees nothing.

DO $$
DECLARE name text;
BEGIN
  FOR name IN SELECT table_name FROM information_schema.columns c JOIN information_schema.tables t USING (table_schema, table_name)
              WHERE c.table_schema = 'public' AND c.column_name = 'project_id' AND t.table_type = 'BASE TABLE' ORDER BY 1 LOOP
    EXECUTE format('ALTER TABLE %I ENABLE ROW LEVEL SECURITY', name);
    EXECUTE format('CREATE POLICY wall ON %I USING (project_id = ANY ((SELECT string_to_array(current_setting(''perennial.projects'', true), '',''))::text[]))', name);
    EXECUTE format('GRANT SELECT, INSERT, UPDATE, DELETE ON %I TO perennial_app', name);
  END LOOP;
END $$;
GRANT SELECT ON agenda TO perennial_app;
GRANT USAGE ON SCHEMA public TO perennial_app;

-- The few doors in the wall. They run as the owner, so each does exactly one thing.

CREATE FUNCTION project_now(clock_at timestamptz, clock_started_at timestamptz, wall timestamptz) RETURNS timestamptz
LANGUAGE sql IMMUTABLE AS $$
  SELECT CASE WHEN clock_at IS NULL THEN wall WHEN clock_started_at IS NULL THEN clock_at ELSE clock_at + (wall - clock_started_at) END
$$;

-- Enters the projects for this transaction and says what time it is there. Projects with a clock of their own are entered one at a time.
CREATE FUNCTION enter(projects text[], wall timestamptz) RETURNS timestamptz
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
BEGIN
  PERFORM set_config('perennial.projects', array_to_string(projects, ','), true);
  IF cardinality(projects) = 1 THEN
    RETURN coalesce((SELECT project_now(p.clock_at, p.clock_started_at, wall) FROM project p WHERE p.project_id = projects[1]), wall);
  END IF;
  IF EXISTS (SELECT FROM project p WHERE p.project_id = ANY (projects) AND p.clock_at IS NOT NULL) THEN
    RAISE EXCEPTION 'a project with a clock of its own must be entered alone';
  END IF;
  RETURN wall;
END $$;

-- Whose key this is. One row per key that was found.
CREATE FUNCTION find_keys(hashes bytea[]) RETURNS TABLE (hash bytea, project_id text, key_id text, kind text, app_id text, store text, reaches text[])
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = public, pg_temp AS $$
#variable_conflict use_column
BEGIN
  RETURN QUERY
    SELECT k.hash, k.project_id, k.key_id, k.kind, k.app_id, a.store, k.reaches
    FROM api_key k LEFT JOIN app a ON a.project_id = k.project_id AND a.app_id = k.app_id
    WHERE k.hash = ANY (hashes) AND k.revoked_at IS NULL;
END $$;

-- Whose app this is: stores address us by it, without a key.
CREATE FUNCTION project_of_app(wanted text) RETURNS text
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = public, pg_temp AS $$
  SELECT project_id FROM app WHERE app_id = wanted
$$;
CREATE INDEX app_directory ON app (app_id);

-- The entitlement read: many callers at once, each behind their own key. `body` is null where it must be rendered anew.
CREATE FUNCTION read_customers(hashes bytea[], app_user_ids text[])
RETURNS TABLE (place bigint, project_id text, kind text, clock_at timestamptz, clock_started_at timestamptz, customer_id text, fresh_until timestamptz, body bytea,
  last_seen_at timestamptz)
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = public, pg_temp AS $$
#variable_conflict use_column
BEGIN
  RETURN QUERY
    SELECT r.place, k.project_id, k.kind, p.clock_at, p.clock_started_at, a.customer_id, d.fresh_until, d.body, c.last_seen_at
    FROM unnest(hashes, app_user_ids) WITH ORDINALITY AS r (hash, app_user_id, place)
    JOIN api_key k ON k.hash = r.hash AND k.revoked_at IS NULL
    JOIN project p ON p.project_id = k.project_id
    LEFT JOIN alias a ON a.project_id = k.project_id AND a.app_user_id = r.app_user_id
    LEFT JOIN customer c ON c.project_id = a.project_id AND c.customer_id = a.customer_id
    LEFT JOIN customer_document d
      ON d.project_id = c.project_id AND d.customer_id = c.customer_id AND d.version = c.version AND d.catalog_version = p.catalog_version;
END $$;

-- Where work is due, each project by its own time: one look at an index per project and kind, however long the backlog.
CREATE FUNCTION due_projects(wanted_lane text, wall timestamptz, most integer) RETURNS SETOF text
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = public, pg_temp AS $$
BEGIN
  RETURN QUERY
    SELECT p.project_id FROM project p
    CROSS JOIN LATERAL (
      SELECT FROM agenda a
      WHERE a.project_id = p.project_id AND a.lane = wanted_lane AND a.wake_at <= project_now(p.clock_at, p.clock_started_at, wall) LIMIT 1) due
    LIMIT most;
END $$;

CREATE FUNCTION all_projects() RETURNS SETOF project
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = public, pg_temp AS $$ SELECT * FROM project ORDER BY project_id $$;

REVOKE ALL ON ALL FUNCTIONS IN SCHEMA public FROM PUBLIC;
GRANT EXECUTE ON ALL FUNCTIONS IN SCHEMA public TO perennial_app;
