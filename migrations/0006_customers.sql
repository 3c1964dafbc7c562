-- What servers do to customers: offerings chosen for one, blocking, deletion with a pseudonym, payments told by other systems of the project.

SET lock_timeout = '5s';

ALTER TABLE customer
  ADD COLUMN deleted_at timestamptz; -- the person is gone: what is left goes by a made-up id, so that what was sold still adds up

CREATE TABLE deleted_app_user_id ( -- ids whose persons were deleted, hashed: a store that still names one means the pseudonym
  project_id  text NOT NULL REFERENCES project,
  hash        text NOT NULL, -- SHA-256, in hex
  customer_id text NOT NULL,
  deleted_at  timestamptz NOT NULL,
  PRIMARY KEY (project_id, hash)
);
CREATE INDEX deleted_app_user_id_by_customer ON deleted_app_user_id (project_id, customer_id);

CREATE TABLE blocked_customer ( -- ids nobody may use
  project_id  text NOT NULL REFERENCES project,
  app_user_id text NOT NULL,
  blocked_at  timestamptz NOT NULL,
  PRIMARY KEY (project_id, app_user_id)
);

CREATE TABLE offering_override ( -- the offering that is current for this customer alone
  project_id  text NOT NULL,
  customer_id text NOT NULL,
  offering_id text NOT NULL,
  PRIMARY KEY (project_id, customer_id),
  FOREIGN KEY (project_id, customer_id) REFERENCES customer ON DELETE CASCADE,
  FOREIGN KEY (project_id, offering_id) REFERENCES offering ON DELETE CASCADE
);
CREATE INDEX offering_override_by_offering ON offering_override (project_id, offering_id);

-- What a deletion has to find: what was told of a person in the names of others, and what was done to them by hand.
CREATE INDEX event_transfers ON event (project_id) WHERE type = 'TRANSFER';
CREATE INDEX audit_by_target ON audit (project_id, target);

-- Customers by e-mail address. A door, as the wall keeps conditions on functions from using an index; it opens within the entered projects alone.
CREATE FUNCTION find_by_email(email text, most integer) RETURNS SETOF text
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = public, pg_temp AS $$
BEGIN
  RETURN QUERY
    SELECT t.customer_id FROM attribute t
    WHERE t.project_id = ANY (string_to_array(current_setting('perennial.projects', true), ',')) AND t.name = '$email' AND lower(t.value) = lower(email)
    LIMIT most;
END $$;

CREATE TABLE external_payment ( -- a payment, or with negative amounts a refund, as another system of the project told it: each once
  project_id  text NOT NULL,
  app_id      text NOT NULL,
  environment text NOT NULL CHECK (environment IN ('production', 'sandbox')),
  store_line  text NOT NULL,
  payment     text NOT NULL, -- the other system's own id
  transaction text NOT NULL, -- of the purchase it paid
  gross       bigint NOT NULL, -- minor units
  tax         bigint NOT NULL,
  commission  bigint NOT NULL,
  currency    text NOT NULL CHECK (currency ~ '^[A-Z]{3}$'),
  country     text,
  paid_at     timestamptz NOT NULL,
  PRIMARY KEY (project_id, app_id, payment),
  FOREIGN KEY (project_id, app_id) REFERENCES app ON DELETE CASCADE
);
CREATE INDEX external_payment_by_line ON external_payment (project_id, app_id, environment, store_line);
