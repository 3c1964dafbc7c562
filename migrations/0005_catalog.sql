-- Which secrets of its store an app has, without opening them; and what is archived: out of sight of those who buy, not out of force.

SET lock_timeout = '5s';

ALTER TABLE app
  ADD COLUMN secret_names text[] NOT NULL DEFAULT '{}', -- those in `secrets`
  ADD CONSTRAINT app_secrets_are_named CHECK ((secrets IS NULL) = (secret_names = '{}'));

ALTER TABLE product ADD COLUMN archived_at timestamptz;     -- no longer offered; what was bought of it stays
ALTER TABLE entitlement ADD COLUMN archived_at timestamptz; -- those who hold it keep it
ALTER TABLE offering
  ADD COLUMN archived_at timestamptz,
  ADD CONSTRAINT offering_current_is_seen CHECK (archived_at IS NULL OR NOT is_current);
