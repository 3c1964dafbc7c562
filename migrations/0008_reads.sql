-- The entitlement read asks two questions of an index for each reader, not five: a kept document is right by being there.

SET lock_timeout = '5s';

-- Whoever changes a customer takes the kept document away, in the same transaction. Whoever renders one keeps it only if it can hold the
-- customer still at the version it rendered (`FOR SHARE SKIP LOCKED`), so a document of yesterday is never put back.
CREATE FUNCTION forget_document() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  DELETE FROM customer_document d WHERE d.project_id = NEW.project_id AND d.customer_id = NEW.customer_id;
  RETURN NULL;
END $$;
CREATE TRIGGER forget_document AFTER UPDATE OF version ON customer
  FOR EACH ROW WHEN (OLD.version IS DISTINCT FROM NEW.version) EXECUTE FUNCTION forget_document();

-- Sightings touch a customer often, and no index of theirs: room on the page keeps such a write on it.
ALTER TABLE customer SET (fillfactor = 80);

-- Many readers at once, each behind their own key: `key_of` says which of `hashes` each has. One row for every key that is known
-- (place = minus its number: project, kind or null where it may not read customers, clock), then one for every reader whose customer is known (document: when it ends, and its body).
DROP FUNCTION read_customers(bytea[], text[]);
CREATE FUNCTION read_customers(hashes bytea[], key_of integer[], app_user_ids text[])
RETURNS TABLE (place bigint, id text, kind text, moment timestamptz, started_at timestamptz, body bytea)
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = public, pg_temp AS $$
#variable_conflict use_column
BEGIN
  RETURN QUERY
    WITH known AS MATERIALIZED (
      SELECT h.number, k.project_id, CASE WHEN k.reads_customers THEN k.kind END AS kind, p.clock_at, p.clock_started_at, p.catalog_version
      FROM unnest(hashes) WITH ORDINALITY AS h (hash, number)
      JOIN api_key k ON k.hash = h.hash AND k.revoked_at IS NULL
      JOIN project p ON p.project_id = k.project_id)
    SELECT -known.number, known.project_id, known.kind, known.clock_at, known.clock_started_at, NULL::bytea FROM known
    UNION ALL
    SELECT r.place, a.customer_id, NULL, d.fresh_until, NULL, d.body
    FROM unnest(key_of, app_user_ids) WITH ORDINALITY AS r (key, app_user_id, place)
    JOIN known ON known.number = r.key
    JOIN alias a ON a.project_id = known.project_id AND a.app_user_id = r.app_user_id
    JOIN customer_document d ON d.project_id = known.project_id AND d.customer_id = a.customer_id AND d.catalog_version = known.catalog_version;
END $$;
