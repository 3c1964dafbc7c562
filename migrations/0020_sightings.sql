-- Sightings are written by one statement through a door of their own: of any number of projects at once, and without waiting for the disk.

SET lock_timeout = '5s';

-- The only write that reads cause, and the only one that may be lost, as the next visit repairs it: its commit need not wait for the disk.
CREATE FUNCTION save_sightings(
  projects text[], customers text[], seen_at timestamptz[], platforms text[], platform_versions text[], app_versions text[], countries text[],
  lately interval
) RETURNS void LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
#variable_conflict use_column
BEGIN
  PERFORM set_config('synchronous_commit', 'off', true);
  UPDATE customer c SET
    last_seen_at = seen.at,
    last_seen_platform = coalesce(seen.platform, c.last_seen_platform),
    last_seen_platform_version = coalesce(seen.platform_version, c.last_seen_platform_version),
    last_seen_app_version = coalesce(seen.app_version, c.last_seen_app_version),
    last_seen_country = coalesce(seen.country, c.last_seen_country)
  FROM unnest(projects, customers, seen_at, platforms, platform_versions, app_versions, countries)
    AS seen (project_id, customer_id, at, platform, platform_version, app_version, country)
  WHERE c.project_id = seen.project_id AND c.customer_id = seen.customer_id AND c.deleted_at IS NULL
    AND (c.last_seen_at IS NULL OR c.last_seen_at < seen.at - lately);
END $$;
REVOKE ALL ON FUNCTION save_sightings(text[], text[], timestamptz[], text[], text[], text[], text[], interval) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION save_sightings(text[], text[], timestamptz[], text[], text[], text[], text[], interval) TO perennial_app;
