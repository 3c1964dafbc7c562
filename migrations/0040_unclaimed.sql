-- Purchases nobody has claimed yet, with what is told of them once somebody does; and names of buyers that no customer can have.

SET lock_timeout = '5s';

ALTER TABLE line
  ADD COLUMN refused_name      text,        -- whom the project's backend named as the buyer, where that can be no app user id
  ADD COLUMN unclaimed_since   timestamptz, -- nobody has said whose it is: its events wait in untold_event
  ADD COLUMN tell_unclaimed_at timestamptz, -- when they are told as an anonymous customer's; NULL where the app does not track such purchases
  ADD CONSTRAINT line_unclaimed CHECK (tell_unclaimed_at IS NULL OR unclaimed_since IS NOT NULL);
CREATE INDEX line_unclaimed ON line (project_id, unclaimed_since, line_id) WHERE unclaimed_since IS NOT NULL;
CREATE INDEX line_refused_name ON line (project_id, line_id) WHERE refused_name IS NOT NULL;

-- Whom we made up for a purchase: `hidden` while nobody has claimed it, `known` once it was told as theirs. NULL: a person.
ALTER TABLE customer ADD COLUMN placeholder text CHECK (placeholder IN ('hidden', 'known'));

-- Events of lines nobody has claimed, in the order they would have been told. They are told, with the buyer's names and numbers, when they claim it.
CREATE TABLE untold_event (
  project_id  text NOT NULL,
  customer_id text NOT NULL,
  line_id     text NOT NULL,
  event_id    text NOT NULL,
  sequence    bigint NOT NULL,
  type        text NOT NULL,
  app_id      text,
  environment text NOT NULL,
  happened_at timestamptz NOT NULL,
  body        jsonb NOT NULL,
  PRIMARY KEY (project_id, customer_id, line_id, event_id),
  FOREIGN KEY (project_id, customer_id, line_id) REFERENCES line (project_id, customer_id, line_id) ON UPDATE CASCADE ON DELETE CASCADE
);

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
