-- Whoever serves can ask whether the schema is its version's, under the application's role too, which has no business with the list itself.

CREATE FUNCTION applied_migrations() RETURNS text[]
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = public, pg_temp AS $$
  SELECT coalesce(array_agg(name ORDER BY name), '{}') FROM public.schema_migration
$$;
REVOKE ALL ON FUNCTION applied_migrations() FROM PUBLIC;
GRANT EXECUTE ON FUNCTION applied_migrations() TO perennial_app;
