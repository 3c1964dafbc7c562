-- What a process whose clock ran ahead put off by months is found and brought back; and projects with something due take turns.

SET lock_timeout = '5s';

-- Of one kind of the agenda, everything that sleeps longer than anything of its kind may (`furthest`) is due, each by its project's own time.
-- Deliveries that go together keep an order: batches that fell due at one moment could not be told apart.
CREATE FUNCTION bring_back(wanted_kind text, furthest interval, wall timestamptz) RETURNS bigint
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
DECLARE count bigint;
BEGIN
  IF wanted_kind = 'delivery' THEN
    UPDATE delivery d SET wake_at = CASE WHEN d.batch IS NULL THEN t.at ELSE t.at + (d.wake_at - t.at) / 1000 END
    FROM (SELECT p.project_id, project_now(p.clock_at, p.clock_started_at, wall) AS at FROM project p) t
    WHERE d.project_id = t.project_id AND d.wake_at > t.at + furthest;
  ELSIF wanted_kind = 'notification' THEN
    UPDATE notification n SET wake_at = t.at
    FROM (SELECT p.project_id, project_now(p.clock_at, p.clock_started_at, wall) AS at FROM project p) t
    WHERE n.project_id = t.project_id AND n.wake_at > t.at + furthest;
  ELSIF wanted_kind = 'inquiry' THEN
    UPDATE inquiry i SET wake_at = t.at
    FROM (SELECT p.project_id, project_now(p.clock_at, p.clock_started_at, wall) AS at FROM project p) t
    WHERE i.project_id = t.project_id AND i.wake_at > t.at + furthest;
  ELSIF wanted_kind = 'store_act' THEN
    UPDATE store_act s SET wake_at = t.at
    FROM (SELECT p.project_id, project_now(p.clock_at, p.clock_started_at, wall) AS at FROM project p) t
    WHERE s.project_id = t.project_id AND s.wake_at > t.at + furthest;
  ELSIF wanted_kind = 'export' THEN -- keeps its time of the day, and covers again what it thought it had covered
    UPDATE export e SET wake_at = CASE WHEN e.wake_at IS NOT NULL THEN t.at END, until_at = least(e.until_at, t.at),
      next_at = e.next_at - greatest(ceil(extract(epoch FROM e.next_at - t.at) / 86400), 0) * interval '1 day'
    FROM (SELECT p.project_id, project_now(p.clock_at, p.clock_started_at, wall) AS at FROM project p) t
    WHERE e.project_id = t.project_id AND (e.wake_at > t.at + furthest OR e.next_at > t.at + furthest OR e.until_at > t.at + furthest);
  ELSE
    RAISE EXCEPTION 'nothing of kind % is brought back', wanted_kind;
  END IF;
  GET DIAGNOSTICS count = ROW_COUNT;
  RETURN count;
END $$;

DROP FUNCTION due_projects_of(text[], timestamptz, integer);

-- As due_projects, of some kinds alone and from a place on: a project that always has something due does not keep others from their turn.
CREATE FUNCTION due_projects_of(wanted_kinds text[], wall timestamptz, after_project text, most integer) RETURNS SETOF text
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = public, pg_temp AS $$
BEGIN
  RETURN QUERY
    SELECT p.project_id FROM project p
    CROSS JOIN LATERAL (
      SELECT FROM agenda a
      WHERE a.project_id = p.project_id AND a.kind = ANY (wanted_kinds)
        AND a.wake_at <= project_now(p.clock_at, p.clock_started_at, wall) LIMIT 1) due
    WHERE p.project_id > after_project ORDER BY p.project_id LIMIT most;
END $$;

REVOKE ALL ON FUNCTION bring_back(text, interval, timestamptz), due_projects_of(text[], timestamptz, text, integer) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION bring_back(text, interval, timestamptz), due_projects_of(text[], timestamptz, text, integer) TO perennial_app;
