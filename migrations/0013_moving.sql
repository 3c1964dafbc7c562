-- Moving in and out: how far imports got, what was moved in quietly, and exports on a schedule.

SET lock_timeout = '5s';

ALTER TABLE purchase
  ADD COLUMN told_quietly boolean NOT NULL DEFAULT false; -- an import brought it: marked as told, and nobody was

ALTER TABLE customer
  ADD COLUMN changed_at timestamptz; -- when its version was bumped last: exports of what is new begin here. No index: they run daily, bumps all day

CREATE TABLE import (
  project_id  text NOT NULL REFERENCES project,
  import_id   text NOT NULL,
  source      text NOT NULL,            -- where from: export, api, receipts, rows
  name        text NOT NULL,            -- the file or address, for people
  fingerprint text NOT NULL,            -- of what is imported: the same again goes on where it stopped
  reached     text NOT NULL DEFAULT '', -- how far it got, in its source's own terms
  rows        bigint NOT NULL DEFAULT 0,
  refused     bigint NOT NULL DEFAULT 0,
  customers   bigint NOT NULL DEFAULT 0, -- new ones
  lines       bigint NOT NULL DEFAULT 0, -- new ones
  started_at  timestamptz NOT NULL,
  finished_at timestamptz,
  PRIMARY KEY (project_id, import_id)
);
CREATE INDEX import_by_fingerprint ON import (project_id, fingerprint) WHERE finished_at IS NULL;

CREATE TABLE export (
  project_id text NOT NULL REFERENCES project,
  export_id  text NOT NULL,
  name       text NOT NULL,
  target     text NOT NULL, -- a folder, or s3://, gs://, az://; credentials are in the environment, never here
  format     text NOT NULL CHECK (format IN ('csv', 'parquet')),
  mode       text NOT NULL CHECK (mode IN ('full', 'new_and_updated')),
  created_at timestamptz NOT NULL,
  until_at   timestamptz,   -- what changed up to here is delivered
  attempts   integer NOT NULL DEFAULT 0, -- of the run that is due
  next_at    timestamptz NOT NULL, -- when the next run is due by the plan
  wake_at    timestamptz,   -- likewise, or later while a run is at it or is tried again; null: paused
  last_error text,
  PRIMARY KEY (project_id, export_id)
);
CREATE INDEX export_wake ON export (project_id, wake_at) WHERE wake_at IS NOT NULL;

CREATE TABLE export_run (
  project_id  text NOT NULL,
  export_id   text NOT NULL,
  run_id      text NOT NULL,
  mode        text NOT NULL CHECK (mode IN ('full', 'new_and_updated')),
  since       timestamptz, -- null: from the beginning
  until_at    timestamptz NOT NULL,
  object      text NOT NULL, -- the file's name under the target
  rows        bigint NOT NULL,
  bytes       bigint NOT NULL,
  started_at  timestamptz NOT NULL,
  finished_at timestamptz NOT NULL,
  PRIMARY KEY (project_id, export_id, run_id),
  FOREIGN KEY (project_id, export_id) REFERENCES export ON DELETE CASCADE
);
