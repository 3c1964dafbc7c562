-- What a batch of an import did is kept with what it records, so that an import killed between the two counts it once.

ALTER TABLE import ADD COLUMN changed bigint NOT NULL DEFAULT 0; -- lines that were there and became different

CREATE TABLE import_batch (
  project_id text NOT NULL,
  import_id  text NOT NULL,
  batch      text NOT NULL, -- where the import had got to after it, and which part of it
  rows       bigint NOT NULL,
  refused    bigint NOT NULL,
  customers  bigint NOT NULL,
  lines      bigint NOT NULL,
  changed    bigint NOT NULL,
  PRIMARY KEY (project_id, import_id, batch)
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
