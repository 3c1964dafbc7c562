-- What was given up or cannot be read is counted for the operator, through the wall, from indexes of their own; and pushes in the wrong wrapping are kept.

SET LOCAL lock_timeout = '5s';

-- Pushes of a store in a form that says nothing to us, until its settings are changed. A row per app and form.
CREATE TABLE misdelivery (
  project_id text NOT NULL,
  app_id     text NOT NULL,
  wrapping   text NOT NULL CHECK (wrapping IN ('google_unwrapped', 'sns_raw', 'app_store_v1', 'stripe_thin', 'paddle_classic')),
  times      bigint NOT NULL,
  first_at   timestamptz NOT NULL,
  last_at    timestamptz NOT NULL, -- by the wall clock
  PRIMARY KEY (project_id, app_id, wrapping),
  FOREIGN KEY (project_id, app_id) REFERENCES app (project_id, app_id) ON DELETE CASCADE
);

CREATE INDEX notification_parked ON notification (project_id, app_id) WHERE digested_at IS NULL AND wake_at IS NULL;
CREATE INDEX notification_unreadable ON notification (project_id, digested_at) WHERE outcome LIKE 'unreadable:%';
CREATE INDEX inquiry_parked ON inquiry (project_id, app_id) WHERE wake_at IS NULL;
CREATE INDEX store_act_parked ON store_act (project_id, app_id) WHERE wake_at IS NULL AND done_at IS NULL;
CREATE INDEX delivery_parked ON delivery (project_id, endpoint_id) WHERE parked_at IS NOT NULL;

-- For each project and kind how many there are, and one of them with why. Unreadable and misdelivered ones count for the days since `since`.
CREATE FUNCTION troubles(since timestamptz) RETURNS TABLE (project_id text, kind text, count bigint, sample text, reason text)
LANGUAGE sql STABLE SECURITY DEFINER SET search_path TO 'public', 'pg_temp' AS $$
  SELECT n.project_id, 'notifications_parked', count(*), min(n.app_id || ' ' || n.message_id), min(n.last_error)
  FROM notification n WHERE n.digested_at IS NULL AND n.wake_at IS NULL GROUP BY n.project_id
  UNION ALL
  SELECT n.project_id, 'notifications_unreadable', count(*), min(n.app_id || ' ' || n.message_id), min(n.outcome)
  FROM notification n WHERE n.outcome LIKE 'unreadable:%' AND n.digested_at >= since GROUP BY n.project_id
  UNION ALL
  SELECT i.project_id, 'questions_parked', count(*), min(i.app_id || ' ' || i.subject), min(i.last_error)
  FROM inquiry i WHERE i.wake_at IS NULL GROUP BY i.project_id
  UNION ALL
  SELECT a.project_id, 'acts_parked', count(*), min(a.app_id || ' ' || a.kind || ' ' || a.subject), min(a.last_error)
  FROM store_act a WHERE a.wake_at IS NULL AND a.done_at IS NULL GROUP BY a.project_id
  UNION ALL
  SELECT d.project_id, 'deliveries_parked', count(*), min(d.endpoint_id || ' ' || d.event_id), min(d.last_error)
  FROM delivery d WHERE d.parked_at IS NOT NULL AND d.customer_id <> 'test' GROUP BY d.project_id
  UNION ALL
  SELECT i.project_id, 'imports_unfinished', count(*), min(i.source || ' ' || i.name), NULL
  FROM import i WHERE i.finished_at IS NULL AND i.started_at >= since GROUP BY i.project_id
  UNION ALL
  SELECT m.project_id, 'pushes_misdelivered', sum(m.times)::bigint, min(m.app_id), min(m.wrapping)
  FROM misdelivery m WHERE m.last_at >= since GROUP BY m.project_id, m.app_id, m.wrapping
$$;

REVOKE ALL ON FUNCTION troubles(timestamptz) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION troubles(timestamptz) TO perennial_app;

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
