-- What of a store's messages and answers could not be read, by field: what is left aside is kept, counted and shown, and costs nobody a purchase.

SET LOCAL lock_timeout = '5s';

CREATE TABLE unread (
  project_id text NOT NULL,
  app_id text NOT NULL,
  source text NOT NULL CHECK (source IN ('notification', 'receipt', 'answer')),
  field text NOT NULL,  -- its path in the document; of the product's own wire types, so there are not many
  said text NOT NULL,   -- what stood there last, as JSON, cut
  times bigint NOT NULL DEFAULT 1,
  first_at timestamptz NOT NULL,
  last_at timestamptz NOT NULL,
  PRIMARY KEY (project_id, app_id, source, field)
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
