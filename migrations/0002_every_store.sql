-- Every store: settings and secrets of any store's app, lines with several keys, refunds beside revocations, pauses, taxes and fees, acts at stores.

SET lock_timeout = '5s';

ALTER TABLE app
  ADD COLUMN settings jsonb NOT NULL DEFAULT '{}', -- what its store's provider wants to know, by name
  ADD COLUMN secrets bytea;                        -- encrypted: a JSON object of names and texts

ALTER TABLE line
  ALTER COLUMN app_id DROP NOT NULL,               -- what was granted by hand is of no app
  ADD COLUMN told_paused boolean NOT NULL DEFAULT false,
  ADD COLUMN newest_key text,                      -- the store's key to ask by, where it is not store_line any more
  ADD COLUMN store_user bytea;                     -- encrypted: who the buyer is to the store, where it answers about a user alone (Microsoft)

ALTER TABLE purchase
  DROP CONSTRAINT purchase_period_type_check,
  ADD CONSTRAINT purchase_period_type_check CHECK (period_type IN ('normal', 'intro', 'trial', 'prepaid', 'promotional')) NOT VALID,
  ADD COLUMN tax_amount bigint,                    -- of price_amount, in its currency
  ADD COLUMN commission_amount bigint,
  ADD COLUMN refunds jsonb NOT NULL DEFAULT '[]',  -- [{identifier, at, amount, currency, is_reversed}], by identifier
  ADD COLUMN told_refunds text[] NOT NULL DEFAULT '{}',
  ADD COLUMN booked_gross bigint NOT NULL DEFAULT 0, -- what the ledger has of it
  ADD COLUMN booked_tax bigint NOT NULL DEFAULT 0,
  ADD COLUMN booked_commission bigint NOT NULL DEFAULT 0,
  ADD COLUMN booked_refunded bigint NOT NULL DEFAULT 0,
  ADD CONSTRAINT purchase_parts_have_a_price CHECK (price_amount IS NOT NULL OR (tax_amount IS NULL AND commission_amount IS NULL)) NOT VALID;
ALTER TABLE purchase VALIDATE CONSTRAINT purchase_period_type_check;

ALTER TABLE renewal
  ADD COLUMN pause text CHECK (pause IN ('scheduled', 'in_force')),
  ADD COLUMN resumes_at timestamptz;

-- A question is asked by any key the store knows; one asked again while it is being answered is answered again.
ALTER TABLE inquiry
  ADD COLUMN hint text NOT NULL DEFAULT '',
  ADD COLUMN times_wanted integer NOT NULL DEFAULT 1;
ALTER TABLE inquiry RENAME COLUMN store_line TO subject;

-- A purchase told by a store before we met its buyer may name them by the hash of their app user id. A door, as the wall keeps
-- conditions on functions from using an index; it opens within the entered projects alone.
CREATE FUNCTION hash_of_id(app_user_id text) RETURNS text LANGUAGE sql IMMUTABLE AS $$
  SELECT encode(sha256(convert_to(app_user_id, 'UTF8')), 'hex')
$$;
CREATE INDEX alias_by_hash ON alias (project_id, hash_of_id(app_user_id));
CREATE FUNCTION find_hashed(hashes text[]) RETURNS TABLE (hash text, customer_id text)
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = public, pg_temp AS $$
#variable_conflict use_column
BEGIN
  RETURN QUERY
    SELECT wanted.hash, a.customer_id FROM unnest(hashes) AS wanted (hash)
    JOIN alias a ON a.project_id = ANY (string_to_array(current_setting('perennial.projects', true), ',')) AND hash_of_id(a.app_user_id) = wanted.hash;
END $$;

CREATE TABLE store_act ( -- something to do at a store: committed before it is asked for, retried, done once
  project_id  text NOT NULL,
  app_id      text NOT NULL,
  act_id      text NOT NULL, -- the store's idempotency key where it takes one
  kind        text NOT NULL CHECK (kind IN ('acknowledge', 'cancel', 'refund', 'revoke', 'extend', 'defer')),
  environment text NOT NULL CHECK (environment IN ('production', 'sandbox')),
  subject     text NOT NULL,
  details     jsonb NOT NULL,
  wanted_at   timestamptz NOT NULL,
  attempts    integer NOT NULL DEFAULT 0,
  wake_at     timestamptz,
  done_at     timestamptz,
  last_error  text,
  PRIMARY KEY (project_id, app_id, act_id),
  FOREIGN KEY (project_id, app_id) REFERENCES app ON DELETE CASCADE
);
CREATE INDEX store_act_wake ON store_act (project_id, wake_at) WHERE wake_at IS NOT NULL;

-- A line may have several keys: moving it to another customer finds them all.
CREATE INDEX line_directory_by_line ON line_directory (project_id, customer_id, line_id);
