-- The ledger, and virtual currencies: what they are, what purchases give of them, and who has how much.

SET lock_timeout = '5s';

-- Who has what -----------------------------------------------------------------------------------------------------------------
-- A transfer has two ends and one positive amount, so the ledger cannot be unbalanced. An account is a path; its balance is what came in
-- less what went out. There is no row per account, so that nobody waits for a busy one: only accounts with a bound have one, below.

CREATE TABLE transfer (
  project_id   text NOT NULL REFERENCES project,
  key          text NOT NULL, -- of what it is: the same key is the same transfer
  transfer_id  text NOT NULL, -- in the order of recording
  from_account text COLLATE "C" NOT NULL CHECK (from_account <> ''),
  to_account   text COLLATE "C" NOT NULL CHECK (to_account <> ''),
  amount       bigint NOT NULL CHECK (amount > 0), -- minor units of money, or whole units of a virtual currency
  unit         text NOT NULL CHECK (unit IN ('money', 'virtual')),
  currency     text NOT NULL, -- ISO 4217, or a virtual currency's code
  kind         text NOT NULL,
  reference    text, -- what it is about, for people
  happened_at  timestamptz NOT NULL, -- in the world
  recorded_at  timestamptz NOT NULL, -- by us
  PRIMARY KEY (project_id, key),
  CHECK (from_account <> to_account),
  CHECK (unit = 'virtual' OR currency ~ '^[A-Z]{3}$')
);
CREATE INDEX transfer_from ON transfer (project_id, from_account, transfer_id) INCLUDE (unit, currency, amount);
CREATE INDEX transfer_to ON transfer (project_id, to_account, transfer_id) INCLUDE (unit, currency, amount);

CREATE TABLE bounded_account ( -- accounts that never go below zero: the balance is kept, and guarded
  project_id text NOT NULL REFERENCES project,
  account    text COLLATE "C" NOT NULL,
  unit       text NOT NULL CHECK (unit IN ('money', 'virtual')),
  currency   text NOT NULL,
  balance    bigint NOT NULL CHECK (balance >= 0),
  PRIMARY KEY (project_id, account, unit, currency)
);

-- The wall around transfers is put up here and not by the last migration, as who writes them may neither change nor delete them.
ALTER TABLE transfer ENABLE ROW LEVEL SECURITY;
CREATE POLICY wall ON transfer USING (project_id = ANY ((SELECT string_to_array(current_setting('perennial.projects', true), ','))::text[]));
GRANT SELECT, INSERT ON transfer TO perennial_app;

-- What the ledger has of a purchase: `booked_postings` is how often it was brought up to date, and part of the transfers' keys.
ALTER TABLE purchase
  ADD COLUMN booked_currency text,
  ADD COLUMN booked_postings integer NOT NULL DEFAULT 0;

-- Virtual currencies -----------------------------------------------------------------------------------------------------------

CREATE TABLE virtual_currency (
  project_id  text NOT NULL REFERENCES project,
  code        text NOT NULL CHECK (code ~ '^[a-zA-Z0-9_]{1,10}$'),
  name        text NOT NULL,
  description text,
  created_at  timestamptz NOT NULL,
  PRIMARY KEY (project_id, code)
);

CREATE TABLE product_grant ( -- how much of a currency its products give
  project_id          text NOT NULL,
  code                text NOT NULL,
  position            integer NOT NULL CHECK (position >= 1),
  amount              bigint NOT NULL CHECK (amount BETWEEN 1 AND 2000000000),
  trial_amount        bigint NOT NULL CHECK (trial_amount BETWEEN 0 AND 2000000000),
  expire_at_cycle_end boolean NOT NULL,
  PRIMARY KEY (project_id, code, position),
  FOREIGN KEY (project_id, code) REFERENCES virtual_currency ON DELETE CASCADE
);

CREATE TABLE product_grant_product (
  project_id text NOT NULL,
  code       text NOT NULL,
  product_id text NOT NULL, -- in one grant of a currency, else it would not be clear how much it gives
  position   integer NOT NULL,
  since      timestamptz NOT NULL, -- what was bought before gives nothing
  PRIMARY KEY (project_id, code, product_id),
  FOREIGN KEY (project_id, code, position) REFERENCES product_grant ON DELETE CASCADE,
  FOREIGN KEY (project_id, product_id) REFERENCES product ON DELETE CASCADE
);
CREATE INDEX product_grant_product_by_product ON product_grant_product (project_id, product_id);
CREATE INDEX product_grant_product_by_grant ON product_grant_product (project_id, code, position);

CREATE TABLE currency_grant ( -- what a purchase gave, once; what is left of it is the balance of its account
  project_id  text NOT NULL,
  customer_id text NOT NULL,
  store       text NOT NULL,
  environment text NOT NULL CHECK (environment IN ('production', 'sandbox')),
  transaction text NOT NULL,
  code        text NOT NULL,
  grant_id    text NOT NULL, -- made of the four above
  app_id      text, -- where it was bought,
  product     text NOT NULL, -- and what, in the store's words
  amount      bigint NOT NULL CHECK (amount >= 0), -- what was given; nothing where the wallet was full
  due_back    bigint NOT NULL CHECK (due_back BETWEEN 0 AND amount), -- by refunds
  taken_back  bigint NOT NULL CHECK (taken_back BETWEEN 0 AND due_back), -- less, where it was spent already
  reckonings  integer NOT NULL, -- how often refunds changed it: part of the transfers' keys
  expires_at  timestamptz,
  granted_at  timestamptz NOT NULL,
  wake_at     timestamptz, -- null: it does not expire, or it did
  PRIMARY KEY (project_id, customer_id, grant_id),
  FOREIGN KEY (project_id, customer_id) REFERENCES customer,
  CHECK (wake_at IS NULL OR expires_at IS NOT NULL)
);
CREATE UNIQUE INDEX currency_grant_by_purchase ON currency_grant (project_id, store, environment, transaction, code);
CREATE INDEX currency_grant_wake ON currency_grant (project_id, wake_at) WHERE wake_at IS NOT NULL;

CREATE TABLE currency_adjustment ( -- what a server of the project changed, and what it was answered
  project_id    text NOT NULL,
  customer_id   text NOT NULL,
  adjustment_id text NOT NULL, -- made of the key's id and the Idempotency-Key, where there was one
  adjustments   jsonb NOT NULL, -- by code
  reference     text,
  is_told       boolean NOT NULL,
  balances      jsonb NOT NULL, -- after it, by code
  adjusted_at   timestamptz NOT NULL,
  PRIMARY KEY (project_id, customer_id, adjustment_id),
  FOREIGN KEY (project_id, customer_id) REFERENCES customer
);
