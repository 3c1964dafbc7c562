-- Integrations: endpoints of other kinds than webhooks, fed by the same outbox; deliveries that are skipped with a reason, or go in batches.

SET lock_timeout = '5s';

ALTER TABLE endpoint
  ADD COLUMN kind text NOT NULL DEFAULT 'webhook',
  ADD COLUMN settings jsonb,        -- plain, as its receiver needs them
  ADD COLUMN secrets bytea,         -- encrypted: a JSON object
  ADD COLUMN secret_names text[],   -- which there are, for people
  ADD COLUMN gather_for interval,   -- events wait for the end of such a span and go together; null: each at once
  ALTER COLUMN url DROP NOT NULL,
  ALTER COLUMN signing_secret DROP NOT NULL,
  ADD CONSTRAINT endpoint_is_whole CHECK (
    CASE WHEN kind = 'webhook'
      THEN url IS NOT NULL AND signing_secret IS NOT NULL AND num_nonnulls(settings, secrets, secret_names, gather_for) = 0
      ELSE num_nonnulls(settings, secrets, secret_names) = 3 AND num_nonnulls(url, signing_secret, authorization_header) = 0 END),
  ADD CONSTRAINT endpoint_gathers CHECK (gather_for > interval '0');

ALTER TABLE delivery
  ADD COLUMN skipped_at timestamptz, -- nothing to send: last_error says why
  ADD COLUMN batch text,             -- the object it goes in, fixed before the first attempt, so that a repeat writes the same one again
  ADD CONSTRAINT delivery_skipped CHECK (skipped_at IS NULL OR num_nonnulls(wake_at, delivered_at, parked_at) = 0);
CREATE INDEX delivery_in_batch ON delivery (project_id, endpoint_id, batch) WHERE wake_at IS NOT NULL AND batch IS NOT NULL;
