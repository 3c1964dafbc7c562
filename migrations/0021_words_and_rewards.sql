-- What other systems say beside a purchase is kept, rewards of watched ads are given, and Microsoft's refunds can be fetched.

SET lock_timeout = '5s';

-- The free words of a project's own system about what was bought with it, and of when they are: the later ones count.
ALTER TABLE line ADD COLUMN noted jsonb, ADD COLUMN noted_at timestamptz, ADD CONSTRAINT line_noted CHECK ((noted IS NULL) = (noted_at IS NULL)) NOT VALID;
ALTER TABLE line VALIDATE CONSTRAINT line_noted;

-- The offer a payment was made under, in the words of the vendor's External Purchases API.
ALTER TABLE external_payment ADD COLUMN offer_type text, ADD COLUMN offer text;

-- Apps whose store's notifications we fetch ourselves: Google's where a Pub/Sub subscription is named and nothing is pushed to us, Microsoft's where
-- its Clawback queue is set up.
CREATE OR REPLACE FUNCTION apps_to_pull() RETURNS TABLE (project_id text, app_id text)
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = public, pg_temp AS $$
  SELECT project_id, app_id FROM app
  WHERE secrets IS NOT NULL
    AND ((store = 'play_store' AND settings ? 'pubsub_subscription' AND NOT settings ? 'pubsub_audience')
      OR (store = 'microsoft' AND settings->>'clawback' = 'on'))
$$;

CREATE TABLE ad_reward ( -- what watching an ad gives: one of a virtual currency, or an entitlement for a while
  project_id    text NOT NULL,
  app_id        text NOT NULL,
  reward_item   text NOT NULL, -- as the ad unit names it
  place         integer NOT NULL, -- an item may give several things
  currency_code text,
  amount        bigint CHECK (amount > 0), -- null: what the ad unit says
  lookup_key    text, -- of the entitlement
  duration      text, -- ISO 8601
  PRIMARY KEY (project_id, app_id, reward_item, place),
  FOREIGN KEY (project_id, app_id) REFERENCES app ON DELETE CASCADE,
  CHECK ((currency_code IS NULL) <> (lookup_key IS NULL)),
  CHECK ((lookup_key IS NULL) = (duration IS NULL)),
  CHECK (currency_code IS NOT NULL OR amount IS NULL)
);

CREATE TABLE ad_reward_verification ( -- an ad that was watched, by the network's signed word: each once
  project_id         text NOT NULL,
  app_id             text NOT NULL,
  transaction_id     text NOT NULL, -- the network's
  customer_id        text, -- null where the network named nobody we could reward
  client_transaction text, -- the SDK's
  ad_unit            text NOT NULL,
  reward_item        text NOT NULL,
  reward_amount      bigint NOT NULL,
  failure            text, -- null: verified
  rewards            jsonb NOT NULL, -- what was given, as SDKs are told it
  watched_at         timestamptz NOT NULL,
  received_at        timestamptz NOT NULL,
  PRIMARY KEY (project_id, app_id, transaction_id),
  FOREIGN KEY (project_id, app_id) REFERENCES app ON DELETE CASCADE,
  FOREIGN KEY (project_id, customer_id) REFERENCES customer,
  CHECK (failure IS NOT NULL OR customer_id IS NOT NULL)
);
CREATE INDEX ad_reward_verification_by_client ON ad_reward_verification (project_id, client_transaction) WHERE client_transaction IS NOT NULL;
CREATE INDEX ad_reward_verification_by_customer ON ad_reward_verification (project_id, customer_id) WHERE customer_id IS NOT NULL;

DO $$
DECLARE name text;
BEGIN
  FOR name IN SELECT c.table_name FROM information_schema.columns c JOIN information_schema.tables t USING (table_schema, table_name)
              WHERE c.table_schema = 'public' AND c.column_name = 'project_id' AND t.table_type = 'BASE TABLE'
                AND NOT EXISTS (SELECT FROM pg_policies p WHERE p.schemaname = 'public' AND p.tablename = c.table_name) ORDER BY 1 LOOP
    EXECUTE format('ALTER TABLE %I ENABLE ROW LEVEL SECURITY', name);
    EXECUTE format('CREATE POLICY wall ON %I USING (project_id = ANY ((SELECT string_to_array(current_setting(''perennial.projects'', true), '',''))::text[]))', name);
    EXECUTE format('GRANT SELECT, INSERT, UPDATE, DELETE ON %I TO perennial_app', name);
  END LOOP;
END $$;
