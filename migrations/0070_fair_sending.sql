-- Deliveries are looked up by endpoint, so that receivers that hang hold up nobody else's; an endpoint may be paused, and its signing secret changed.

SET lock_timeout = '5s';

CREATE INDEX delivery_due ON delivery (project_id, endpoint_id, wake_at) WHERE wake_at IS NOT NULL;

ALTER TABLE endpoint
  ADD COLUMN paused_at timestamptz, -- what there is to tell waits until it is resumed
  ADD COLUMN former_secret bytea, -- the signing secret before the present one, which signs too until `former_until`
  ADD COLUMN former_until timestamptz,
  ADD CONSTRAINT endpoint_former_secret CHECK ((former_secret IS NULL) = (former_until IS NULL)),
  ADD CONSTRAINT endpoint_of_webhook CHECK (kind = 'webhook' OR former_secret IS NULL);

-- Endpoints with something due, in order of their ids and from a place on, each by its project's own time; those already at work are left out.
CREATE FUNCTION due_endpoints(wall timestamptz, busy_endpoints text[], busy_projects text[], after_project text, after_endpoint text, most integer)
  RETURNS TABLE (project_id text, endpoint_id text, is_webhook boolean)
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = public, pg_temp AS $$
#variable_conflict use_column
BEGIN
  RETURN QUERY
    SELECT e.project_id, e.endpoint_id, e.kind = 'webhook'
    FROM endpoint e JOIN project p ON p.project_id = e.project_id
    WHERE (e.project_id, e.endpoint_id) > (after_project, after_endpoint) AND e.paused_at IS NULL
      AND e.endpoint_id <> ALL (busy_endpoints) AND e.project_id <> ALL (busy_projects)
      AND EXISTS (SELECT FROM delivery d WHERE d.project_id = e.project_id AND d.endpoint_id = e.endpoint_id
                    AND d.wake_at <= project_now(p.clock_at, p.clock_started_at, wall))
    ORDER BY e.project_id, e.endpoint_id LIMIT most;
END $$;

-- As due_projects, of some kinds alone: deliveries are looked for by endpoint.
CREATE FUNCTION due_projects_of(wanted_kinds text[], wall timestamptz, most integer) RETURNS SETOF text
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = public, pg_temp AS $$
BEGIN
  RETURN QUERY
    SELECT p.project_id FROM project p
    CROSS JOIN LATERAL (
      SELECT FROM agenda a
      WHERE a.project_id = p.project_id AND a.kind = ANY (wanted_kinds)
        AND a.wake_at <= project_now(p.clock_at, p.clock_started_at, wall) LIMIT 1) due
    LIMIT most;
END $$;

REVOKE ALL ON FUNCTION due_endpoints(timestamptz, text[], text[], text, text, integer), due_projects_of(text[], timestamptz, integer) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION due_endpoints(timestamptz, text[], text[], text, text, integer), due_projects_of(text[], timestamptz, integer)
  TO perennial_app;
