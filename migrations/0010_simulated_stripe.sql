-- A simulated Stripe for sandbox projects: one row for each checkout and everything that came of it.

SET lock_timeout = '5s';

CREATE TABLE simulated_stripe (
  project_id text NOT NULL,
  app_id     text NOT NULL,
  code       text NOT NULL, -- every id of it is made of this: sub_<code>, in_<code>_1, pi_<code>_1
  state      jsonb NOT NULL,
  wake_at    timestamptz,
  PRIMARY KEY (project_id, app_id, code),
  FOREIGN KEY (project_id, app_id) REFERENCES app ON DELETE CASCADE
);
CREATE INDEX simulated_stripe_wake ON simulated_stripe (project_id, wake_at) WHERE wake_at IS NOT NULL;
