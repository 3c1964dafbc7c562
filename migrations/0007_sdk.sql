-- What SDKs call beside purchases: their events, attribution, redemption links of web purchases, the Customer Center and its tickets.

SET lock_timeout = '5s';

-- Telemetry: kept for `telemetry.KEPT_FOR`, then forgotten. The key begins with the time so that the table can be partitioned by it.
CREATE TABLE sdk_event (
  project_id  text NOT NULL REFERENCES project,
  happened_at timestamptz NOT NULL, -- by the device, but never after it reached us
  event_id    text NOT NULL,        -- the SDK's own: an event sent again is the same event
  app_id      text,
  app_user_id text NOT NULL,        -- as the SDK said; the directory of aliases knows whose it is today
  type        text NOT NULL,
  data        jsonb NOT NULL,       -- everything the SDK said of it
  received_at timestamptz NOT NULL,
  PRIMARY KEY (project_id, happened_at, event_id)
);
CREATE INDEX sdk_event_by_type ON sdk_event (project_id, type, happened_at);
CREATE INDEX sdk_event_by_person ON sdk_event (project_id, app_user_id);

CREATE TABLE sdk_event_shelf ( -- one per project that has events: when the oldest are to be forgotten
  project_id text PRIMARY KEY REFERENCES project,
  wake_at    timestamptz NOT NULL
);

CREATE TABLE attribution ( -- what an advertising network told the app of where a customer came from; the latest word of each network
  project_id  text NOT NULL,
  customer_id text NOT NULL,
  network     text NOT NULL,
  data        jsonb NOT NULL,
  received_at timestamptz NOT NULL,
  PRIMARY KEY (project_id, customer_id, network),
  FOREIGN KEY (project_id, customer_id) REFERENCES customer ON DELETE CASCADE
);

CREATE TABLE redemption ( -- a link that brings what was bought on the web into an app, once
  project_id  text NOT NULL,
  customer_id text NOT NULL,  -- who bought it
  token_hash  bytea NOT NULL, -- SHA-256 of the token, which has 192 bits of chance
  email       text,           -- where the link was sent
  issued_at   timestamptz NOT NULL,
  expires_at  timestamptz NOT NULL,
  redeemed_at timestamptz,
  PRIMARY KEY (project_id, customer_id, token_hash),
  FOREIGN KEY (project_id, customer_id) REFERENCES customer ON DELETE CASCADE
);
CREATE UNIQUE INDEX redemption_by_token ON redemption (project_id, token_hash);

CREATE TABLE customer_center ( -- how a project's Customer Center looks and what it offers; none: the default
  project_id text PRIMARY KEY REFERENCES project,
  config     jsonb NOT NULL,
  updated_at timestamptz NOT NULL
);

CREATE TABLE support_ticket (
  project_id  text NOT NULL,
  customer_id text NOT NULL,
  ticket_id   text NOT NULL,
  app_user_id text NOT NULL, -- as they were called when they wrote
  email       text NOT NULL, -- where to answer
  description text NOT NULL,
  created_at  timestamptz NOT NULL,
  closed_at   timestamptz,
  PRIMARY KEY (project_id, customer_id, ticket_id),
  FOREIGN KEY (project_id, customer_id) REFERENCES customer ON DELETE CASCADE
);
CREATE UNIQUE INDEX support_ticket_by_id ON support_ticket (project_id, ticket_id);
