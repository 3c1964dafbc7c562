-- Projects are deleted with all they have, in batches, and a note of who did it stays.

CREATE TABLE deleted_project (
  project_id text NOT NULL PRIMARY KEY,
  name       text NOT NULL,
  actor      text NOT NULL,        -- as in the audit log, which went with the project
  deleted_at timestamptz NOT NULL, -- when deletion began; what is left of one that was interrupted goes when it is run again
  row_count  bigint NOT NULL DEFAULT 0
);

-- Deletes at most `most` rows of the one project entered, from the table on which no other depends. Returns how many: 0 when nothing is left
-- but the project itself and the note. As their owner: the ledger's rows are nobody else's to delete. Tables are found by their column, so that one made later is not forgotten.
CREATE FUNCTION delete_of_project(most integer) RETURNS bigint
LANGUAGE plpgsql SECURITY DEFINER SET search_path TO 'public', 'pg_temp' AS $$
DECLARE
  entered text := current_setting('perennial.projects');
  name text;
  gone bigint;
BEGIN
  IF entered = '' OR position(',' IN entered) > 0 THEN
    RAISE EXCEPTION 'enter the one project that is to be deleted';
  END IF;
  FOR name IN
    WITH RECURSIVE
      owned AS (
        SELECT c.oid, c.relname FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid
        WHERE c.relnamespace = 'public'::regnamespace AND c.relkind IN ('r', 'p') AND a.attname = 'project_id' AND NOT a.attisdropped
          AND c.relname NOT IN ('project', 'deleted_project')
      ),
      needs AS (
        SELECT DISTINCT k.conrelid AS child, k.confrelid AS parent FROM pg_constraint k
        WHERE k.contype = 'f' AND k.conrelid <> k.confrelid AND k.conrelid IN (SELECT oid FROM owned) AND k.confrelid IN (SELECT oid FROM owned)
      ),
      depth AS (
        SELECT oid, 0 AS steps FROM owned
        UNION
        SELECT n.child, d.steps + 1 FROM depth d JOIN needs n ON n.parent = d.oid WHERE d.steps < 30
      )
    SELECT o.relname FROM owned o JOIN depth d USING (oid) GROUP BY o.relname ORDER BY max(d.steps) DESC, o.relname
  LOOP
    EXECUTE format('DELETE FROM %I WHERE ctid = ANY (ARRAY(SELECT ctid FROM %I WHERE project_id = $1 LIMIT $2))', name, name) USING entered, most;
    GET DIAGNOSTICS gone = ROW_COUNT;
    IF gone > 0 THEN
      RETURN gone;
    END IF;
  END LOOP;
  RETURN 0;
END $$;

-- Through the wall: what the command line lists, as it lists projects.
CREATE FUNCTION deleted_projects() RETURNS TABLE (project_id text, name text, actor text, deleted_at timestamptz, row_count bigint)
LANGUAGE sql STABLE SECURITY DEFINER SET search_path TO 'public', 'pg_temp' AS $$
  SELECT d.project_id, d.name, d.actor, d.deleted_at, d.row_count FROM deleted_project d ORDER BY d.deleted_at
$$;

REVOKE ALL ON FUNCTION delete_of_project(integer), deleted_projects() FROM PUBLIC;
GRANT EXECUTE ON FUNCTION delete_of_project(integer), deleted_projects() TO perennial_app;

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
