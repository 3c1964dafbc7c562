-- The agenda with everything that wakes since the first migration, and the tenant wall around every table that came since.

CREATE OR REPLACE VIEW agenda WITH (security_invoker = true) AS
            SELECT project_id, 'money' AS lane, 'notification' AS kind, wake_at FROM notification WHERE wake_at IS NOT NULL
  UNION ALL SELECT project_id, 'money', 'line', wake_at FROM line WHERE wake_at IS NOT NULL
  UNION ALL SELECT project_id, 'money', 'inquiry', wake_at FROM inquiry WHERE wake_at IS NOT NULL
  UNION ALL SELECT project_id, 'money', 'store_act', wake_at FROM store_act WHERE wake_at IS NOT NULL
  UNION ALL SELECT project_id, 'money', 'currency_grant', wake_at FROM currency_grant WHERE wake_at IS NOT NULL
  UNION ALL SELECT project_id, 'telling', 'delivery', wake_at FROM delivery WHERE wake_at IS NOT NULL
  UNION ALL SELECT project_id, 'telling', 'idempotent_request', wake_at FROM idempotent_request
  UNION ALL SELECT project_id, 'telling', 'sdk_event_shelf', wake_at FROM sdk_event_shelf
  UNION ALL SELECT project_id, 'bulk', 'export', wake_at FROM export WHERE wake_at IS NOT NULL
  UNION ALL SELECT project_id, 'simulation', 'simulated_subscription', wake_at FROM simulated_subscription WHERE wake_at IS NOT NULL
  UNION ALL SELECT project_id, 'simulation', 'simulated_stripe', wake_at FROM simulated_stripe WHERE wake_at IS NOT NULL
  UNION ALL SELECT project_id, 'simulation', 'simulated_play_store', wake_at FROM simulated_play_store WHERE wake_at IS NOT NULL;

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
