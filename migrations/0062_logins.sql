-- Servers log in as a role that owns nothing: it reads the list of migrations itself, and who migrates may act as the application too.

GRANT SELECT ON public.schema_migration TO perennial_app;

-- Since PostgreSQL 16 a role that creates another one is its member without the right to act as it.
DO $$
BEGIN
  IF current_setting('server_version_num')::integer >= 160000 THEN
    IF NOT pg_has_role(current_user, 'perennial_app', 'SET') THEN
      EXECUTE 'GRANT perennial_app TO CURRENT_USER WITH INHERIT TRUE, SET TRUE';
    END IF;
  END IF;
END $$;
