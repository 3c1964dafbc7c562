-- A simulated Google Play for sandbox projects: one row for each purchase and everything that came of it.

SET lock_timeout = '5s';

CREATE TABLE simulated_play_store (
  project_id text NOT NULL,
  app_id     text NOT NULL,
  code       text NOT NULL, -- every token and order of it is made of this: play.<code>.1, GPA.<code>-1..0
  state      jsonb NOT NULL,
  wake_at    timestamptz,
  PRIMARY KEY (project_id, app_id, code),
  FOREIGN KEY (project_id, app_id) REFERENCES app ON DELETE CASCADE
);
CREATE INDEX simulated_play_store_wake ON simulated_play_store (project_id, wake_at) WHERE wake_at IS NOT NULL;
