-- The whole database on one page, written by `make schema` from migrations/. Do not edit: write a migration.

--
-- PostgreSQL database dump
--

SET statement_timeout = 0;
SET lock_timeout = 0;
SET idle_in_transaction_session_timeout = 0;
SET transaction_timeout = 0;
SET client_encoding = 'UTF8';
SET standard_conforming_strings = on;
SELECT pg_catalog.set_config('search_path', '', false);
SET check_function_bodies = false;
SET xmloption = content;
SET client_min_messages = warning;
SET row_security = off;

SET default_tablespace = '';

SET default_table_access_method = heap;

--
-- Name: project; Type: TABLE; Schema: public; Owner: -
--

CREATE TABLE public.project (
    project_id text NOT NULL,
    name text NOT NULL,
    is_sandbox boolean DEFAULT false NOT NULL,
    clock_at timestamp with time zone,
    clock_started_at timestamp with time zone,
    moving_until timestamp with time zone,
    restore_behavior text DEFAULT 'transfer'::text NOT NULL,
    fallback_offering_id text,
    catalog_version bigint DEFAULT 1 NOT NULL,
    created_at timestamp with time zone NOT NULL,
    CONSTRAINT project_check CHECK (((clock_at IS NULL) OR is_sandbox)),
    CONSTRAINT project_check1 CHECK (((clock_started_at IS NULL) OR (clock_at IS NOT NULL))),
    CONSTRAINT project_restore_behavior_check CHECK ((restore_behavior = ANY (ARRAY['transfer'::text, 'transfer_if_inactive'::text, 'keep'::text, 'share'::text])))
);

--
-- Name: all_projects(); Type: FUNCTION; Schema: public; Owner: -
--

CREATE FUNCTION public.all_projects() RETURNS SETOF public.project
    LANGUAGE sql STABLE SECURITY DEFINER
    SET search_path TO 'public', 'pg_temp'
    AS $$ SELECT * FROM project ORDER BY project_id $$;

--
-- Name: applied_migrations(); Type: FUNCTION; Schema: public; Owner: -
--

CREATE FUNCTION public.applied_migrations() RETURNS text[]
    LANGUAGE sql STABLE SECURITY DEFINER
    SET search_path TO 'public', 'pg_temp'
    AS $$
  SELECT coalesce(array_agg(name ORDER BY name), '{}') FROM public.schema_migration
$$;

--
-- Name: apps_to_pull(); Type: FUNCTION; Schema: public; Owner: -
--

CREATE FUNCTION public.apps_to_pull() RETURNS TABLE(project_id text, app_id text)
    LANGUAGE sql STABLE SECURITY DEFINER
    SET search_path TO 'public', 'pg_temp'
    AS $$
  SELECT project_id, app_id FROM app
  WHERE secrets IS NOT NULL
    AND ((store = 'play_store' AND settings ? 'pubsub_subscription' AND NOT settings ? 'pubsub_audience')
      OR (store = 'microsoft' AND settings->>'clawback' = 'on'))
$$;

--
-- Name: bring_back(text, interval, timestamp with time zone); Type: FUNCTION; Schema: public; Owner: -
--

CREATE FUNCTION public.bring_back(wanted_kind text, furthest interval, wall timestamp with time zone) RETURNS bigint
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'public', 'pg_temp'
    AS $$
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

--
-- Name: delete_of_project(integer); Type: FUNCTION; Schema: public; Owner: -
--

CREATE FUNCTION public.delete_of_project(most integer) RETURNS bigint
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'public', 'pg_temp'
    AS $_$
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
END $_$;

--
-- Name: deleted_projects(); Type: FUNCTION; Schema: public; Owner: -
--

CREATE FUNCTION public.deleted_projects() RETURNS TABLE(project_id text, name text, actor text, deleted_at timestamp with time zone, row_count bigint)
    LANGUAGE sql STABLE SECURITY DEFINER
    SET search_path TO 'public', 'pg_temp'
    AS $$
  SELECT d.project_id, d.name, d.actor, d.deleted_at, d.row_count FROM deleted_project d ORDER BY d.deleted_at
$$;

--
-- Name: due_endpoints(timestamp with time zone, text[], text[], text, text, integer); Type: FUNCTION; Schema: public; Owner: -
--

CREATE FUNCTION public.due_endpoints(wall timestamp with time zone, busy_endpoints text[], busy_projects text[], after_project text, after_endpoint text, most integer) RETURNS TABLE(project_id text, endpoint_id text, is_webhook boolean)
    LANGUAGE plpgsql STABLE SECURITY DEFINER
    SET search_path TO 'public', 'pg_temp'
    AS $$
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

--
-- Name: due_projects(text, timestamp with time zone, integer); Type: FUNCTION; Schema: public; Owner: -
--

CREATE FUNCTION public.due_projects(wanted_lane text, wall timestamp with time zone, most integer) RETURNS SETOF text
    LANGUAGE plpgsql STABLE SECURITY DEFINER
    SET search_path TO 'public', 'pg_temp'
    AS $$
BEGIN
  RETURN QUERY
    SELECT p.project_id FROM project p
    CROSS JOIN LATERAL (
      SELECT FROM agenda a
      WHERE a.project_id = p.project_id AND a.lane = wanted_lane AND a.wake_at <= project_now(p.clock_at, p.clock_started_at, wall) LIMIT 1) due
    LIMIT most;
END $$;

--
-- Name: due_projects_of(text[], timestamp with time zone, text, integer); Type: FUNCTION; Schema: public; Owner: -
--

CREATE FUNCTION public.due_projects_of(wanted_kinds text[], wall timestamp with time zone, after_project text, most integer) RETURNS SETOF text
    LANGUAGE plpgsql STABLE SECURITY DEFINER
    SET search_path TO 'public', 'pg_temp'
    AS $$
BEGIN
  RETURN QUERY
    SELECT p.project_id FROM project p
    CROSS JOIN LATERAL (
      SELECT FROM agenda a
      WHERE a.project_id = p.project_id AND a.kind = ANY (wanted_kinds)
        AND a.wake_at <= project_now(p.clock_at, p.clock_started_at, wall) LIMIT 1) due
    WHERE p.project_id > after_project ORDER BY p.project_id LIMIT most;
END $$;

--
-- Name: enter(text[], timestamp with time zone); Type: FUNCTION; Schema: public; Owner: -
--

CREATE FUNCTION public.enter(projects text[], wall timestamp with time zone) RETURNS timestamp with time zone
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'public', 'pg_temp'
    AS $$
BEGIN
  PERFORM set_config('perennial.projects', array_to_string(projects, ','), true);
  IF cardinality(projects) = 1 THEN
    RETURN coalesce((SELECT project_now(p.clock_at, p.clock_started_at, wall) FROM project p WHERE p.project_id = projects[1]), wall);
  END IF;
  IF EXISTS (SELECT FROM project p WHERE p.project_id = ANY (projects) AND p.clock_at IS NOT NULL) THEN
    RAISE EXCEPTION 'a project with a clock of its own must be entered alone';
  END IF;
  RETURN wall;
END $$;

--
-- Name: find_access_token(bytea, timestamp with time zone); Type: FUNCTION; Schema: public; Owner: -
--

CREATE FUNCTION public.find_access_token(wanted bytea, wall timestamp with time zone) RETURNS TABLE(project_id text, grant_id text, permissions text[])
    LANGUAGE plpgsql STABLE SECURITY DEFINER
    SET search_path TO 'public', 'pg_temp'
    AS $$
#variable_conflict use_column
BEGIN
  RETURN QUERY
    SELECT g.project_id, g.grant_id, g.permissions
    FROM oauth_token t JOIN oauth_grant g ON g.project_id = t.project_id AND g.grant_id = t.grant_id
    WHERE t.hash = wanted AND t.kind = 'access' AND t.expires_at > wall AND g.revoked_at IS NULL;
END $$;

--
-- Name: find_by_email(text, integer); Type: FUNCTION; Schema: public; Owner: -
--

CREATE FUNCTION public.find_by_email(email text, most integer) RETURNS SETOF text
    LANGUAGE plpgsql STABLE SECURITY DEFINER
    SET search_path TO 'public', 'pg_temp'
    AS $_$
BEGIN
  RETURN QUERY
    SELECT t.customer_id FROM attribute t
    WHERE t.project_id = ANY (string_to_array(current_setting('perennial.projects', true), ',')) AND t.name = '$email' AND lower(t.value) = lower(email)
    LIMIT most;
END $_$;

--
-- Name: find_hashed(text[]); Type: FUNCTION; Schema: public; Owner: -
--

CREATE FUNCTION public.find_hashed(hashes text[]) RETURNS TABLE(hash text, customer_id text)
    LANGUAGE plpgsql STABLE SECURITY DEFINER
    SET search_path TO 'public', 'pg_temp'
    AS $$
#variable_conflict use_column
BEGIN
  RETURN QUERY
    SELECT wanted.hash, a.customer_id FROM unnest(hashes) AS wanted (hash)
    JOIN alias a ON a.project_id = ANY (string_to_array(current_setting('perennial.projects', true), ',')) AND hash_of_id(a.app_user_id) = wanted.hash;
END $$;

--
-- Name: find_installation_secret(text); Type: FUNCTION; Schema: public; Owner: -
--

CREATE FUNCTION public.find_installation_secret(wanted text) RETURNS bytea
    LANGUAGE sql STABLE SECURITY DEFINER
    SET search_path TO 'public', 'pg_temp'
    AS $$ SELECT sealed FROM installation_secret WHERE name = wanted $$;

--
-- Name: find_keys(bytea[]); Type: FUNCTION; Schema: public; Owner: -
--

CREATE FUNCTION public.find_keys(hashes bytea[]) RETURNS TABLE(hash bytea, project_id text, key_id text, kind text, app_id text, store text, reaches text[], permissions text[])
    LANGUAGE plpgsql STABLE SECURITY DEFINER
    SET search_path TO 'public', 'pg_temp'
    AS $$
#variable_conflict use_column
BEGIN
  RETURN QUERY
    SELECT k.hash, k.project_id, k.key_id, k.kind, k.app_id, a.store, k.reaches, k.permissions
    FROM api_key k LEFT JOIN app a ON a.project_id = k.project_id AND a.app_id = k.app_id
    WHERE k.hash = ANY (hashes) AND k.revoked_at IS NULL;
END $$;

--
-- Name: forget_document(); Type: FUNCTION; Schema: public; Owner: -
--

CREATE FUNCTION public.forget_document() RETURNS trigger
    LANGUAGE plpgsql
    AS $$
BEGIN
  DELETE FROM customer_document d WHERE d.project_id = NEW.project_id AND d.customer_id = NEW.customer_id;
  RETURN NULL;
END $$;

--
-- Name: forget_installation_secrets(); Type: FUNCTION; Schema: public; Owner: -
--

CREATE FUNCTION public.forget_installation_secrets() RETURNS void
    LANGUAGE sql SECURITY DEFINER
    SET search_path TO 'public', 'pg_temp'
    AS $$ DELETE FROM installation_secret $$;

--
-- Name: hash_of_id(text); Type: FUNCTION; Schema: public; Owner: -
--

CREATE FUNCTION public.hash_of_id(app_user_id text) RETURNS text
    LANGUAGE sql IMMUTABLE
    AS $$
  SELECT encode(sha256(convert_to(app_user_id, 'UTF8')), 'hex')
$$;

--
-- Name: keep_installation_secret(text, bytea, timestamp with time zone); Type: FUNCTION; Schema: public; Owner: -
--

CREATE FUNCTION public.keep_installation_secret(wanted text, offered bytea, wall timestamp with time zone) RETURNS bytea
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'public', 'pg_temp'
    AS $$
BEGIN
  INSERT INTO installation_secret (name, sealed, created_at) VALUES (wanted, offered, wall) ON CONFLICT DO NOTHING;
  RETURN (SELECT s.sealed FROM installation_secret s WHERE s.name = wanted);
END $$;

--
-- Name: project_now(timestamp with time zone, timestamp with time zone, timestamp with time zone); Type: FUNCTION; Schema: public; Owner: -
--

CREATE FUNCTION public.project_now(clock_at timestamp with time zone, clock_started_at timestamp with time zone, wall timestamp with time zone) RETURNS timestamp with time zone
    LANGUAGE sql IMMUTABLE
    AS $$
  SELECT CASE WHEN clock_at IS NULL THEN wall WHEN clock_started_at IS NULL THEN clock_at ELSE clock_at + (wall - clock_started_at) END
$$;

--
-- Name: project_of_app(text); Type: FUNCTION; Schema: public; Owner: -
--

CREATE FUNCTION public.project_of_app(wanted text) RETURNS text
    LANGUAGE sql STABLE SECURITY DEFINER
    SET search_path TO 'public', 'pg_temp'
    AS $$
  SELECT project_id FROM app WHERE app_id = wanted
$$;

--
-- Name: project_of_oauth_client(text); Type: FUNCTION; Schema: public; Owner: -
--

CREATE FUNCTION public.project_of_oauth_client(wanted text) RETURNS text
    LANGUAGE sql STABLE SECURITY DEFINER
    SET search_path TO 'public', 'pg_temp'
    AS $$
  SELECT project_id FROM oauth_client WHERE client_id = wanted
$$;

--
-- Name: project_of_oauth_secret(bytea); Type: FUNCTION; Schema: public; Owner: -
--

CREATE FUNCTION public.project_of_oauth_secret(wanted bytea) RETURNS text
    LANGUAGE sql STABLE SECURITY DEFINER
    SET search_path TO 'public', 'pg_temp'
    AS $$
  SELECT project_id FROM oauth_code WHERE hash = wanted UNION ALL SELECT project_id FROM oauth_token WHERE hash = wanted LIMIT 1
$$;

--
-- Name: projects_of(text[], text, integer); Type: FUNCTION; Schema: public; Owner: -
--

CREATE FUNCTION public.projects_of(wanted text[], after text, most integer) RETURNS SETOF public.project
    LANGUAGE sql STABLE SECURITY DEFINER
    SET search_path TO 'public', 'pg_temp'
    AS $$
  SELECT * FROM project WHERE project_id = ANY (wanted) AND (after IS NULL OR project_id > after) ORDER BY project_id LIMIT most
$$;

--
-- Name: read_customers(bytea[], integer[], text[]); Type: FUNCTION; Schema: public; Owner: -
--

CREATE FUNCTION public.read_customers(hashes bytea[], key_of integer[], app_user_ids text[]) RETURNS TABLE(place bigint, id text, kind text, moment timestamp with time zone, started_at timestamp with time zone, body bytea)
    LANGUAGE plpgsql STABLE SECURITY DEFINER
    SET search_path TO 'public', 'pg_temp'
    AS $$
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

--
-- Name: save_sightings(text[], text[], timestamp with time zone[], text[], text[], text[], text[], interval); Type: FUNCTION; Schema: public; Owner: -
--

CREATE FUNCTION public.save_sightings(projects text[], customers text[], seen_at timestamp with time zone[], platforms text[], platform_versions text[], app_versions text[], countries text[], lately interval) RETURNS void
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'public', 'pg_temp'
    AS $$
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

--
-- Name: troubles(timestamp with time zone); Type: FUNCTION; Schema: public; Owner: -
--

CREATE FUNCTION public.troubles(since timestamp with time zone) RETURNS TABLE(project_id text, kind text, count bigint, sample text, reason text)
    LANGUAGE sql STABLE SECURITY DEFINER
    SET search_path TO 'public', 'pg_temp'
    AS $$
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

--
-- Name: ad_reward; Type: TABLE; Schema: public; Owner: -
--

CREATE TABLE public.ad_reward (
    project_id text NOT NULL,
    app_id text NOT NULL,
    reward_item text NOT NULL,
    place integer NOT NULL,
    currency_code text,
    amount bigint,
    lookup_key text,
    duration text,
    CONSTRAINT ad_reward_amount_check CHECK ((amount > 0)),
    CONSTRAINT ad_reward_check CHECK (((currency_code IS NULL) <> (lookup_key IS NULL))),
    CONSTRAINT ad_reward_check1 CHECK (((lookup_key IS NULL) = (duration IS NULL))),
    CONSTRAINT ad_reward_check2 CHECK (((currency_code IS NOT NULL) OR (amount IS NULL)))
);

--
-- Name: ad_reward_verification; Type: TABLE; Schema: public; Owner: -
--

CREATE TABLE public.ad_reward_verification (
    project_id text NOT NULL,
    app_id text NOT NULL,
    transaction_id text NOT NULL,
    customer_id text,
    client_transaction text,
    ad_unit text NOT NULL,
    reward_item text NOT NULL,
    reward_amount bigint NOT NULL,
    failure text,
    rewards jsonb NOT NULL,
    watched_at timestamp with time zone NOT NULL,
    received_at timestamp with time zone NOT NULL,
    CONSTRAINT ad_reward_verification_check CHECK (((failure IS NOT NULL) OR (customer_id IS NOT NULL)))
);

--
-- Name: currency_grant; Type: TABLE; Schema: public; Owner: -
--

CREATE TABLE public.currency_grant (
    project_id text NOT NULL,
    customer_id text NOT NULL,
    store text NOT NULL,
    environment text NOT NULL,
    transaction text NOT NULL,
    code text NOT NULL,
    grant_id text NOT NULL,
    app_id text,
    product text NOT NULL,
    amount bigint NOT NULL,
    due_back bigint NOT NULL,
    taken_back bigint NOT NULL,
    reckonings integer NOT NULL,
    expires_at timestamp with time zone,
    granted_at timestamp with time zone NOT NULL,
    wake_at timestamp with time zone,
    CONSTRAINT currency_grant_amount_check CHECK ((amount >= 0)),
    CONSTRAINT currency_grant_check CHECK (((due_back >= 0) AND (due_back <= amount))),
    CONSTRAINT currency_grant_check1 CHECK (((taken_back >= 0) AND (taken_back <= due_back))),
    CONSTRAINT currency_grant_check2 CHECK (((wake_at IS NULL) OR (expires_at IS NOT NULL))),
    CONSTRAINT currency_grant_environment_check CHECK ((environment = ANY (ARRAY['production'::text, 'sandbox'::text])))
);

--
-- Name: delivery; Type: TABLE; Schema: public; Owner: -
--

CREATE TABLE public.delivery (
    project_id text NOT NULL,
    customer_id text NOT NULL,
    endpoint_id text NOT NULL,
    event_id text NOT NULL,
    sequence bigint NOT NULL,
    attempts integer DEFAULT 0 NOT NULL,
    wake_at timestamp with time zone,
    delivered_at timestamp with time zone,
    parked_at timestamp with time zone,
    last_status integer,
    last_error text,
    skipped_at timestamp with time zone,
    batch text,
    CONSTRAINT delivery_check CHECK (((wake_at IS NULL) OR ((delivered_at IS NULL) AND (parked_at IS NULL)))),
    CONSTRAINT delivery_skipped CHECK (((skipped_at IS NULL) OR (num_nonnulls(wake_at, delivered_at, parked_at) = 0)))
);

--
-- Name: export; Type: TABLE; Schema: public; Owner: -
--

CREATE TABLE public.export (
    project_id text NOT NULL,
    export_id text NOT NULL,
    name text NOT NULL,
    target text NOT NULL,
    format text NOT NULL,
    mode text NOT NULL,
    created_at timestamp with time zone NOT NULL,
    until_at timestamp with time zone,
    attempts integer DEFAULT 0 NOT NULL,
    next_at timestamp with time zone NOT NULL,
    wake_at timestamp with time zone,
    last_error text,
    CONSTRAINT export_format_check CHECK ((format = ANY (ARRAY['csv'::text, 'parquet'::text]))),
    CONSTRAINT export_mode_check CHECK ((mode = ANY (ARRAY['full'::text, 'new_and_updated'::text])))
);

--
-- Name: idempotent_request; Type: TABLE; Schema: public; Owner: -
--

CREATE TABLE public.idempotent_request (
    project_id text NOT NULL,
    key_id text NOT NULL,
    idempotency_key text NOT NULL,
    request_hash bytea NOT NULL,
    status integer,
    body bytea,
    claimed_until timestamp with time zone,
    wake_at timestamp with time zone NOT NULL,
    CONSTRAINT idempotent_request_check CHECK ((((status IS NULL) = (body IS NULL)) AND ((status IS NULL) = (claimed_until IS NOT NULL))))
);

--
-- Name: inquiry; Type: TABLE; Schema: public; Owner: -
--

CREATE TABLE public.inquiry (
    project_id text NOT NULL,
    app_id text NOT NULL,
    environment text NOT NULL,
    subject text CONSTRAINT inquiry_store_line_not_null NOT NULL,
    reason text NOT NULL,
    attempts integer DEFAULT 0 NOT NULL,
    wake_at timestamp with time zone,
    last_error text,
    hint text DEFAULT ''::text NOT NULL,
    times_wanted integer DEFAULT 1 NOT NULL,
    CONSTRAINT inquiry_environment_check CHECK ((environment = ANY (ARRAY['production'::text, 'sandbox'::text])))
);

--
-- Name: line; Type: TABLE; Schema: public; Owner: -
--

CREATE TABLE public.line (
    project_id text NOT NULL,
    customer_id text NOT NULL,
    line_id text NOT NULL,
    app_id text,
    store text NOT NULL,
    environment text NOT NULL,
    store_line text NOT NULL,
    told_auto_renew boolean DEFAULT true NOT NULL,
    told_next_product text,
    heard_at timestamp with time zone NOT NULL,
    wake_at timestamp with time zone,
    told_paused boolean DEFAULT false NOT NULL,
    newest_key text,
    store_user bytea,
    noted jsonb,
    noted_at timestamp with time zone,
    original_purchased_at timestamp with time zone,
    refused_name text,
    unclaimed_since timestamp with time zone,
    tell_unclaimed_at timestamp with time zone,
    CONSTRAINT line_environment_check CHECK ((environment = ANY (ARRAY['production'::text, 'sandbox'::text]))),
    CONSTRAINT line_noted CHECK (((noted IS NULL) = (noted_at IS NULL))),
    CONSTRAINT line_unclaimed CHECK (((tell_unclaimed_at IS NULL) OR (unclaimed_since IS NOT NULL)))
);

--
-- Name: notification; Type: TABLE; Schema: public; Owner: -
--

CREATE TABLE public.notification (
    project_id text NOT NULL,
    app_id text NOT NULL,
    message_id text NOT NULL,
    kind text NOT NULL,
    sent_at timestamp with time zone NOT NULL,
    body bytea NOT NULL,
    received_at timestamp with time zone NOT NULL,
    attempts integer DEFAULT 0 NOT NULL,
    wake_at timestamp with time zone,
    digested_at timestamp with time zone,
    outcome text,
    last_error text
);

--
-- Name: sdk_event_shelf; Type: TABLE; Schema: public; Owner: -
--

CREATE TABLE public.sdk_event_shelf (
    project_id text NOT NULL,
    wake_at timestamp with time zone NOT NULL
);

--
-- Name: simulated_play_store; Type: TABLE; Schema: public; Owner: -
--

CREATE TABLE public.simulated_play_store (
    project_id text NOT NULL,
    app_id text NOT NULL,
    code text NOT NULL,
    state jsonb NOT NULL,
    wake_at timestamp with time zone
);

--
-- Name: simulated_stripe; Type: TABLE; Schema: public; Owner: -
--

CREATE TABLE public.simulated_stripe (
    project_id text NOT NULL,
    app_id text NOT NULL,
    code text NOT NULL,
    state jsonb NOT NULL,
    wake_at timestamp with time zone
);

--
-- Name: simulated_subscription; Type: TABLE; Schema: public; Owner: -
--

CREATE TABLE public.simulated_subscription (
    project_id text NOT NULL,
    app_id text NOT NULL,
    store_line text NOT NULL,
    state jsonb NOT NULL,
    wake_at timestamp with time zone
);

--
-- Name: store_act; Type: TABLE; Schema: public; Owner: -
--

CREATE TABLE public.store_act (
    project_id text NOT NULL,
    app_id text NOT NULL,
    act_id text NOT NULL,
    kind text NOT NULL,
    environment text NOT NULL,
    subject text NOT NULL,
    details jsonb NOT NULL,
    wanted_at timestamp with time zone NOT NULL,
    attempts integer DEFAULT 0 NOT NULL,
    wake_at timestamp with time zone,
    done_at timestamp with time zone,
    last_error text,
    CONSTRAINT store_act_environment_check CHECK ((environment = ANY (ARRAY['production'::text, 'sandbox'::text]))),
    CONSTRAINT store_act_kind_check CHECK ((kind = ANY (ARRAY['acknowledge'::text, 'cancel'::text, 'refund'::text, 'revoke'::text, 'extend'::text, 'defer'::text, 'change'::text])))
);

--
-- Name: agenda; Type: VIEW; Schema: public; Owner: -
--

CREATE VIEW public.agenda WITH (security_invoker='true') AS
 SELECT notification.project_id,
    'money'::text AS lane,
    'notification'::text AS kind,
    notification.wake_at
   FROM public.notification
  WHERE (notification.wake_at IS NOT NULL)
UNION ALL
 SELECT line.project_id,
    'money'::text AS lane,
    'line'::text AS kind,
    line.wake_at
   FROM public.line
  WHERE (line.wake_at IS NOT NULL)
UNION ALL
 SELECT inquiry.project_id,
    'money'::text AS lane,
    'inquiry'::text AS kind,
    inquiry.wake_at
   FROM public.inquiry
  WHERE (inquiry.wake_at IS NOT NULL)
UNION ALL
 SELECT store_act.project_id,
    'money'::text AS lane,
    'store_act'::text AS kind,
    store_act.wake_at
   FROM public.store_act
  WHERE (store_act.wake_at IS NOT NULL)
UNION ALL
 SELECT currency_grant.project_id,
    'money'::text AS lane,
    'currency_grant'::text AS kind,
    currency_grant.wake_at
   FROM public.currency_grant
  WHERE (currency_grant.wake_at IS NOT NULL)
UNION ALL
 SELECT delivery.project_id,
    'telling'::text AS lane,
    'delivery'::text AS kind,
    delivery.wake_at
   FROM public.delivery
  WHERE (delivery.wake_at IS NOT NULL)
UNION ALL
 SELECT idempotent_request.project_id,
    'telling'::text AS lane,
    'idempotent_request'::text AS kind,
    idempotent_request.wake_at
   FROM public.idempotent_request
UNION ALL
 SELECT sdk_event_shelf.project_id,
    'telling'::text AS lane,
    'sdk_event_shelf'::text AS kind,
    sdk_event_shelf.wake_at
   FROM public.sdk_event_shelf
UNION ALL
 SELECT export.project_id,
    'bulk'::text AS lane,
    'export'::text AS kind,
    export.wake_at
   FROM public.export
  WHERE (export.wake_at IS NOT NULL)
UNION ALL
 SELECT simulated_subscription.project_id,
    'simulation'::text AS lane,
    'simulated_subscription'::text AS kind,
    simulated_subscription.wake_at
   FROM public.simulated_subscription
  WHERE (simulated_subscription.wake_at IS NOT NULL)
UNION ALL
 SELECT simulated_stripe.project_id,
    'simulation'::text AS lane,
    'simulated_stripe'::text AS kind,
    simulated_stripe.wake_at
   FROM public.simulated_stripe
  WHERE (simulated_stripe.wake_at IS NOT NULL)
UNION ALL
 SELECT simulated_play_store.project_id,
    'simulation'::text AS lane,
    'simulated_play_store'::text AS kind,
    simulated_play_store.wake_at
   FROM public.simulated_play_store
  WHERE (simulated_play_store.wake_at IS NOT NULL);

--
-- Name: alias; Type: TABLE; Schema: public; Owner: -
--

CREATE TABLE public.alias (
    project_id text NOT NULL,
    app_user_id text NOT NULL,
    customer_id text NOT NULL,
    created_at timestamp with time zone NOT NULL
);

--
-- Name: api_key; Type: TABLE; Schema: public; Owner: -
--

CREATE TABLE public.api_key (
    project_id text NOT NULL,
    key_id text NOT NULL,
    kind text NOT NULL,
    app_id text,
    label text NOT NULL,
    hash bytea NOT NULL,
    public_key text,
    reaches text[] DEFAULT '{}'::text[] NOT NULL,
    created_at timestamp with time zone NOT NULL,
    revoked_at timestamp with time zone,
    permissions text[],
    reads_customers boolean GENERATED ALWAYS AS (((permissions IS NULL) OR (permissions && ARRAY['customer_information:customers:read'::text, 'customer_information:customers:read_write'::text]))) STORED NOT NULL,
    CONSTRAINT api_key_check CHECK (((kind = 'public'::text) = (app_id IS NOT NULL))),
    CONSTRAINT api_key_check1 CHECK (((kind = 'public'::text) = (public_key IS NOT NULL))),
    CONSTRAINT api_key_kind_check CHECK ((kind = ANY (ARRAY['public'::text, 'secret'::text]))),
    CONSTRAINT api_key_public_has_no_permissions CHECK (((kind = 'secret'::text) OR (permissions IS NULL)))
);

--
-- Name: app; Type: TABLE; Schema: public; Owner: -
--

CREATE TABLE public.app (
    project_id text NOT NULL,
    app_id text NOT NULL,
    name text NOT NULL,
    store text NOT NULL,
    bundle_id text,
    app_apple_id bigint,
    api_key_id text,
    api_issuer text,
    api_secret bytea,
    api_base_url text,
    created_at timestamp with time zone NOT NULL,
    settings jsonb DEFAULT '{}'::jsonb NOT NULL,
    secrets bytea,
    secret_names text[] DEFAULT '{}'::text[] NOT NULL,
    CONSTRAINT app_secrets_are_named CHECK (((secrets IS NULL) = (secret_names = '{}'::text[])))
);

--
-- Name: attribute; Type: TABLE; Schema: public; Owner: -
--

CREATE TABLE public.attribute (
    project_id text NOT NULL,
    customer_id text NOT NULL,
    name text NOT NULL,
    value text,
    updated_at timestamp with time zone NOT NULL
);

--
-- Name: attribution; Type: TABLE; Schema: public; Owner: -
--

CREATE TABLE public.attribution (
    project_id text NOT NULL,
    customer_id text NOT NULL,
    network text NOT NULL,
    data jsonb NOT NULL,
    received_at timestamp with time zone NOT NULL
);

--
-- Name: audit; Type: TABLE; Schema: public; Owner: -
--

CREATE TABLE public.audit (
    project_id text NOT NULL,
    audit_id text NOT NULL,
    actor text NOT NULL,
    action text NOT NULL,
    target text NOT NULL,
    at timestamp with time zone NOT NULL,
    data jsonb NOT NULL
);

--
-- Name: blocked_customer; Type: TABLE; Schema: public; Owner: -
--

CREATE TABLE public.blocked_customer (
    project_id text NOT NULL,
    app_user_id text NOT NULL,
    blocked_at timestamp with time zone NOT NULL
);

--
-- Name: bounded_account; Type: TABLE; Schema: public; Owner: -
--

CREATE TABLE public.bounded_account (
    project_id text NOT NULL,
    account text NOT NULL COLLATE pg_catalog."C",
    unit text NOT NULL,
    currency text NOT NULL,
    balance bigint NOT NULL,
    CONSTRAINT bounded_account_balance_check CHECK ((balance >= 0)),
    CONSTRAINT bounded_account_unit_check CHECK ((unit = ANY (ARRAY['money'::text, 'virtual'::text])))
);

--
-- Name: catch_up; Type: TABLE; Schema: public; Owner: -
--

CREATE TABLE public.catch_up (
    project_id text NOT NULL,
    app_id text NOT NULL,
    catch_up_id text NOT NULL,
    environment text NOT NULL,
    since timestamp with time zone NOT NULL,
    until timestamp with time zone NOT NULL,
    reached timestamp with time zone,
    is_read boolean DEFAULT false NOT NULL,
    lines_after text DEFAULT ''::text NOT NULL,
    told bigint DEFAULT 0 NOT NULL,
    new bigint DEFAULT 0 NOT NULL,
    asked bigint DEFAULT 0 NOT NULL,
    started_at timestamp with time zone NOT NULL,
    finished_at timestamp with time zone,
    CONSTRAINT catch_up_environment_check CHECK ((environment = ANY (ARRAY['production'::text, 'sandbox'::text])))
);

--
-- Name: collaborator; Type: TABLE; Schema: public; Owner: -
--

CREATE TABLE public.collaborator (
    project_id text NOT NULL,
    collaborator_id text NOT NULL,
    email text NOT NULL,
    name text,
    role text NOT NULL,
    accepted_at timestamp with time zone,
    created_at timestamp with time zone NOT NULL,
    CONSTRAINT collaborator_role_check CHECK ((role = ANY (ARRAY['owner'::text, 'admin'::text, 'developer'::text, 'growth'::text, 'support'::text, 'view_only'::text])))
);

--
-- Name: currency_adjustment; Type: TABLE; Schema: public; Owner: -
--

CREATE TABLE public.currency_adjustment (
    project_id text NOT NULL,
    customer_id text NOT NULL,
    adjustment_id text NOT NULL,
    adjustments jsonb NOT NULL,
    reference text,
    is_told boolean NOT NULL,
    balances jsonb NOT NULL,
    adjusted_at timestamp with time zone NOT NULL
);

--
-- Name: customer; Type: TABLE; Schema: public; Owner: -
--

CREATE TABLE public.customer (
    project_id text NOT NULL,
    customer_id text NOT NULL,
    original_app_user_id text NOT NULL,
    first_seen_at timestamp with time zone NOT NULL,
    last_seen_at timestamp with time zone,
    last_seen_platform text,
    last_seen_platform_version text,
    last_seen_app_version text,
    last_seen_country text,
    version bigint DEFAULT 1 NOT NULL,
    event_sequence bigint DEFAULT 0 NOT NULL,
    merged_into text,
    deleted_at timestamp with time zone,
    changed_at timestamp with time zone,
    download_version text,
    downloaded_at timestamp with time zone,
    placeholder text,
    CONSTRAINT customer_download CHECK (((download_version IS NULL) = (downloaded_at IS NULL))),
    CONSTRAINT customer_placeholder_check CHECK ((placeholder = ANY (ARRAY['hidden'::text, 'known'::text])))
)
WITH (fillfactor='80');

--
-- Name: customer_center; Type: TABLE; Schema: public; Owner: -
--

CREATE TABLE public.customer_center (
    project_id text NOT NULL,
    config jsonb NOT NULL,
    updated_at timestamp with time zone NOT NULL
);

--
-- Name: customer_document; Type: TABLE; Schema: public; Owner: -
--

CREATE TABLE public.customer_document (
    project_id text NOT NULL,
    customer_id text NOT NULL,
    version bigint NOT NULL,
    catalog_version bigint NOT NULL,
    fresh_until timestamp with time zone NOT NULL,
    body bytea NOT NULL
);

--
-- Name: deleted_app_user_id; Type: TABLE; Schema: public; Owner: -
--

CREATE TABLE public.deleted_app_user_id (
    project_id text NOT NULL,
    hash text NOT NULL,
    customer_id text NOT NULL,
    deleted_at timestamp with time zone NOT NULL
);

--
-- Name: deleted_project; Type: TABLE; Schema: public; Owner: -
--

CREATE TABLE public.deleted_project (
    project_id text NOT NULL,
    name text NOT NULL,
    actor text NOT NULL,
    deleted_at timestamp with time zone NOT NULL,
    row_count bigint DEFAULT 0 NOT NULL
);

--
-- Name: endpoint; Type: TABLE; Schema: public; Owner: -
--

CREATE TABLE public.endpoint (
    project_id text NOT NULL,
    endpoint_id text NOT NULL,
    name text NOT NULL,
    url text,
    authorization_header bytea,
    signing_secret bytea,
    environment text,
    app_id text,
    event_types text[],
    created_at timestamp with time zone NOT NULL,
    last_success_at timestamp with time zone,
    last_failure_at timestamp with time zone,
    last_error text,
    failures integer DEFAULT 0 NOT NULL,
    kind text DEFAULT 'webhook'::text NOT NULL,
    settings jsonb,
    secrets bytea,
    secret_names text[],
    gather_for interval,
    paused_at timestamp with time zone,
    former_secret bytea,
    former_until timestamp with time zone,
    CONSTRAINT endpoint_environment_check CHECK ((environment = ANY (ARRAY['production'::text, 'sandbox'::text]))),
    CONSTRAINT endpoint_former_secret CHECK (((former_secret IS NULL) = (former_until IS NULL))),
    CONSTRAINT endpoint_gathers CHECK ((gather_for > '00:00:00'::interval)),
    CONSTRAINT endpoint_is_whole CHECK (
CASE
    WHEN (kind = 'webhook'::text) THEN ((url IS NOT NULL) AND (signing_secret IS NOT NULL) AND (num_nonnulls(settings, secrets, secret_names, gather_for) = 0))
    ELSE ((num_nonnulls(settings, secrets, secret_names) = 3) AND (num_nonnulls(url, signing_secret, authorization_header) = 0))
END),
    CONSTRAINT endpoint_of_webhook CHECK (((kind = 'webhook'::text) OR (former_secret IS NULL)))
);

--
-- Name: entitlement; Type: TABLE; Schema: public; Owner: -
--

CREATE TABLE public.entitlement (
    project_id text NOT NULL,
    entitlement_id text NOT NULL,
    lookup_key text NOT NULL,
    display_name text NOT NULL,
    created_at timestamp with time zone NOT NULL,
    archived_at timestamp with time zone
);

--
-- Name: entitlement_product; Type: TABLE; Schema: public; Owner: -
--

CREATE TABLE public.entitlement_product (
    project_id text NOT NULL,
    entitlement_id text NOT NULL,
    product_id text NOT NULL
);

--
-- Name: event; Type: TABLE; Schema: public; Owner: -
--

CREATE TABLE public.event (
    project_id text NOT NULL,
    customer_id text NOT NULL,
    event_id text NOT NULL,
    sequence bigint NOT NULL,
    type text NOT NULL,
    app_id text,
    environment text NOT NULL,
    happened_at timestamp with time zone NOT NULL,
    recorded_at timestamp with time zone NOT NULL,
    body jsonb NOT NULL
);

--
-- Name: export_run; Type: TABLE; Schema: public; Owner: -
--

CREATE TABLE public.export_run (
    project_id text NOT NULL,
    export_id text NOT NULL,
    run_id text NOT NULL,
    mode text NOT NULL,
    since timestamp with time zone,
    until_at timestamp with time zone NOT NULL,
    object text NOT NULL,
    rows bigint NOT NULL,
    bytes bigint NOT NULL,
    started_at timestamp with time zone NOT NULL,
    finished_at timestamp with time zone NOT NULL,
    CONSTRAINT export_run_mode_check CHECK ((mode = ANY (ARRAY['full'::text, 'new_and_updated'::text])))
);

--
-- Name: external_payment; Type: TABLE; Schema: public; Owner: -
--

CREATE TABLE public.external_payment (
    project_id text NOT NULL,
    app_id text NOT NULL,
    environment text NOT NULL,
    store_line text NOT NULL,
    payment text NOT NULL,
    transaction text NOT NULL,
    gross bigint NOT NULL,
    tax bigint NOT NULL,
    commission bigint NOT NULL,
    currency text NOT NULL,
    country text,
    paid_at timestamp with time zone NOT NULL,
    offer_type text,
    offer text,
    CONSTRAINT external_payment_currency_check CHECK ((currency ~ '^[A-Z]{3}$'::text)),
    CONSTRAINT external_payment_environment_check CHECK ((environment = ANY (ARRAY['production'::text, 'sandbox'::text])))
);

--
-- Name: import; Type: TABLE; Schema: public; Owner: -
--

CREATE TABLE public.import (
    project_id text NOT NULL,
    import_id text NOT NULL,
    source text NOT NULL,
    name text NOT NULL,
    fingerprint text NOT NULL,
    reached text DEFAULT ''::text NOT NULL,
    rows bigint DEFAULT 0 NOT NULL,
    refused bigint DEFAULT 0 NOT NULL,
    customers bigint DEFAULT 0 NOT NULL,
    lines bigint DEFAULT 0 NOT NULL,
    started_at timestamp with time zone NOT NULL,
    finished_at timestamp with time zone,
    changed bigint DEFAULT 0 NOT NULL
);

--
-- Name: import_batch; Type: TABLE; Schema: public; Owner: -
--

CREATE TABLE public.import_batch (
    project_id text NOT NULL,
    import_id text NOT NULL,
    batch text NOT NULL,
    rows bigint NOT NULL,
    refused bigint NOT NULL,
    customers bigint NOT NULL,
    lines bigint NOT NULL,
    changed bigint NOT NULL
);

--
-- Name: installation_secret; Type: TABLE; Schema: public; Owner: -
--

CREATE TABLE public.installation_secret (
    name text NOT NULL,
    sealed bytea NOT NULL,
    created_at timestamp with time zone NOT NULL
);

--
-- Name: line_directory; Type: TABLE; Schema: public; Owner: -
--

CREATE TABLE public.line_directory (
    project_id text NOT NULL,
    store text NOT NULL,
    environment text NOT NULL,
    store_line text NOT NULL,
    customer_id text NOT NULL,
    line_id text NOT NULL,
    CONSTRAINT line_directory_environment_check CHECK ((environment = ANY (ARRAY['production'::text, 'sandbox'::text])))
);

--
-- Name: misdelivery; Type: TABLE; Schema: public; Owner: -
--

CREATE TABLE public.misdelivery (
    project_id text NOT NULL,
    app_id text NOT NULL,
    wrapping text NOT NULL,
    times bigint NOT NULL,
    first_at timestamp with time zone NOT NULL,
    last_at timestamp with time zone NOT NULL,
    CONSTRAINT misdelivery_wrapping_check CHECK ((wrapping = ANY (ARRAY['google_unwrapped'::text, 'sns_raw'::text, 'app_store_v1'::text, 'stripe_thin'::text, 'paddle_classic'::text])))
);

--
-- Name: oauth_client; Type: TABLE; Schema: public; Owner: -
--

CREATE TABLE public.oauth_client (
    project_id text NOT NULL,
    client_id text NOT NULL,
    name text NOT NULL,
    redirect_uris text[] NOT NULL,
    permissions text[] NOT NULL,
    secret_hash bytea,
    created_at timestamp with time zone NOT NULL,
    CONSTRAINT oauth_client_permissions_check CHECK ((cardinality(permissions) > 0)),
    CONSTRAINT oauth_client_redirect_uris_check CHECK ((cardinality(redirect_uris) > 0))
);

--
-- Name: oauth_code; Type: TABLE; Schema: public; Owner: -
--

CREATE TABLE public.oauth_code (
    project_id text NOT NULL,
    grant_id text NOT NULL,
    hash bytea NOT NULL,
    redirect_uri text NOT NULL,
    challenge text NOT NULL,
    expires_at timestamp with time zone NOT NULL,
    used_at timestamp with time zone
);

--
-- Name: oauth_grant; Type: TABLE; Schema: public; Owner: -
--

CREATE TABLE public.oauth_grant (
    project_id text NOT NULL,
    grant_id text NOT NULL,
    client_id text NOT NULL,
    permissions text[] NOT NULL,
    created_at timestamp with time zone NOT NULL,
    revoked_at timestamp with time zone
);

--
-- Name: oauth_token; Type: TABLE; Schema: public; Owner: -
--

CREATE TABLE public.oauth_token (
    project_id text NOT NULL,
    grant_id text NOT NULL,
    hash bytea NOT NULL,
    kind text NOT NULL,
    expires_at timestamp with time zone NOT NULL,
    used_at timestamp with time zone,
    CONSTRAINT oauth_token_check CHECK (((kind = 'refresh'::text) OR (used_at IS NULL))),
    CONSTRAINT oauth_token_kind_check CHECK ((kind = ANY (ARRAY['access'::text, 'refresh'::text])))
);

--
-- Name: offering; Type: TABLE; Schema: public; Owner: -
--

CREATE TABLE public.offering (
    project_id text NOT NULL,
    offering_id text NOT NULL,
    lookup_key text NOT NULL,
    display_name text NOT NULL,
    metadata jsonb,
    is_current boolean DEFAULT false NOT NULL,
    created_at timestamp with time zone NOT NULL,
    archived_at timestamp with time zone,
    CONSTRAINT offering_current_is_seen CHECK (((archived_at IS NULL) OR (NOT is_current)))
);

--
-- Name: offering_override; Type: TABLE; Schema: public; Owner: -
--

CREATE TABLE public.offering_override (
    project_id text NOT NULL,
    customer_id text NOT NULL,
    offering_id text NOT NULL
);

--
-- Name: package; Type: TABLE; Schema: public; Owner: -
--

CREATE TABLE public.package (
    project_id text NOT NULL,
    package_id text NOT NULL,
    offering_id text NOT NULL,
    lookup_key text NOT NULL,
    display_name text NOT NULL,
    "position" integer NOT NULL,
    created_at timestamp with time zone NOT NULL,
    CONSTRAINT package_position_check CHECK (("position" >= 1))
);

--
-- Name: package_product; Type: TABLE; Schema: public; Owner: -
--

CREATE TABLE public.package_product (
    project_id text NOT NULL,
    package_id text NOT NULL,
    product_id text NOT NULL,
    eligibility_criteria text DEFAULT 'all'::text NOT NULL,
    CONSTRAINT package_product_eligibility_criteria_check CHECK ((eligibility_criteria = ANY (ARRAY['all'::text, 'google_sdk_lt_6'::text, 'google_sdk_ge_6'::text])))
);

--
-- Name: placement; Type: TABLE; Schema: public; Owner: -
--

CREATE TABLE public.placement (
    project_id text NOT NULL,
    identifier text NOT NULL,
    offering_id text
);

--
-- Name: price; Type: TABLE; Schema: public; Owner: -
--

CREATE TABLE public.price (
    project_id text NOT NULL,
    product_id text NOT NULL,
    currency text NOT NULL,
    amount bigint NOT NULL,
    CONSTRAINT price_amount_check CHECK ((amount >= 0)),
    CONSTRAINT price_currency_check CHECK ((currency ~ '^[A-Z]{3}$'::text))
);

--
-- Name: product; Type: TABLE; Schema: public; Owner: -
--

CREATE TABLE public.product (
    project_id text NOT NULL,
    product_id text NOT NULL,
    app_id text NOT NULL,
    store_identifier text NOT NULL,
    type text NOT NULL,
    display_name text,
    duration text,
    trial_duration text,
    created_at timestamp with time zone NOT NULL,
    archived_at timestamp with time zone,
    CONSTRAINT product_type_check CHECK ((type = ANY (ARRAY['subscription'::text, 'one_time'::text, 'consumable'::text, 'non_consumable'::text, 'non_renewing_subscription'::text])))
);

--
-- Name: product_grant; Type: TABLE; Schema: public; Owner: -
--

CREATE TABLE public.product_grant (
    project_id text NOT NULL,
    code text NOT NULL,
    "position" integer NOT NULL,
    amount bigint NOT NULL,
    trial_amount bigint NOT NULL,
    expire_at_cycle_end boolean NOT NULL,
    CONSTRAINT product_grant_amount_check CHECK (((amount >= 1) AND (amount <= 2000000000))),
    CONSTRAINT product_grant_position_check CHECK (("position" >= 1)),
    CONSTRAINT product_grant_trial_amount_check CHECK (((trial_amount >= 0) AND (trial_amount <= 2000000000)))
);

--
-- Name: product_grant_product; Type: TABLE; Schema: public; Owner: -
--

CREATE TABLE public.product_grant_product (
    project_id text NOT NULL,
    code text NOT NULL,
    product_id text NOT NULL,
    "position" integer NOT NULL,
    since timestamp with time zone NOT NULL
);

--
-- Name: purchase; Type: TABLE; Schema: public; Owner: -
--

CREATE TABLE public.purchase (
    project_id text NOT NULL,
    customer_id text NOT NULL,
    line_id text NOT NULL,
    transaction text NOT NULL,
    product text NOT NULL,
    kind text NOT NULL,
    purchased_at timestamp with time zone NOT NULL,
    expires_at timestamp with time zone,
    as_of timestamp with time zone NOT NULL,
    is_first boolean NOT NULL,
    is_renewal boolean NOT NULL,
    period_type text NOT NULL,
    ownership text NOT NULL,
    price_amount bigint,
    price_currency text,
    quantity integer NOT NULL,
    offer_kind text,
    offer_identifier text,
    country text,
    revoked_at timestamp with time zone,
    revoked_refunded boolean,
    revoked_share_ppm integer,
    is_superseded boolean NOT NULL,
    is_summary boolean NOT NULL,
    presented_offering text,
    told_purchased boolean NOT NULL,
    told_expires_at timestamp with time zone,
    told_revoked_at timestamp with time zone,
    told_expired boolean NOT NULL,
    told_reversals integer NOT NULL,
    told_billing_issue boolean NOT NULL,
    recorded_at timestamp with time zone NOT NULL,
    tax_amount bigint,
    commission_amount bigint,
    refunds jsonb DEFAULT '[]'::jsonb NOT NULL,
    told_refunds text[] DEFAULT '{}'::text[] NOT NULL,
    booked_gross bigint DEFAULT 0 NOT NULL,
    booked_tax bigint DEFAULT 0 NOT NULL,
    booked_commission bigint DEFAULT 0 NOT NULL,
    booked_refunded bigint DEFAULT 0 NOT NULL,
    booked_currency text,
    booked_postings integer DEFAULT 0 NOT NULL,
    told_quietly boolean DEFAULT false NOT NULL,
    is_proration boolean,
    charged_ppm bigint,
    CONSTRAINT purchase_charged_ppm_check CHECK ((charged_ppm >= 0)),
    CONSTRAINT purchase_check CHECK (((price_amount IS NULL) = (price_currency IS NULL))),
    CONSTRAINT purchase_check1 CHECK ((((revoked_at IS NULL) = (revoked_refunded IS NULL)) AND ((revoked_at IS NULL) = (revoked_share_ppm IS NULL)))),
    CONSTRAINT purchase_check2 CHECK (((offer_kind IS NOT NULL) OR (offer_identifier IS NULL))),
    CONSTRAINT purchase_kind_check CHECK ((kind = ANY (ARRAY['subscription'::text, 'consumable'::text, 'non_consumable'::text, 'non_renewing'::text]))),
    CONSTRAINT purchase_ownership_check CHECK ((ownership = ANY (ARRAY['purchased'::text, 'family_shared'::text]))),
    CONSTRAINT purchase_period_type_check CHECK ((period_type = ANY (ARRAY['normal'::text, 'intro'::text, 'trial'::text, 'prepaid'::text, 'promotional'::text]))),
    CONSTRAINT purchase_revoked_share_ppm_check CHECK (((revoked_share_ppm >= 0) AND (revoked_share_ppm <= 1000000)))
);

--
-- Name: redemption; Type: TABLE; Schema: public; Owner: -
--

CREATE TABLE public.redemption (
    project_id text NOT NULL,
    customer_id text NOT NULL,
    token_hash bytea NOT NULL,
    email text,
    issued_at timestamp with time zone NOT NULL,
    expires_at timestamp with time zone NOT NULL,
    redeemed_at timestamp with time zone
);

--
-- Name: renewal; Type: TABLE; Schema: public; Owner: -
--

CREATE TABLE public.renewal (
    project_id text NOT NULL,
    customer_id text NOT NULL,
    line_id text NOT NULL,
    as_of timestamp with time zone NOT NULL,
    transaction text NOT NULL,
    auto_renew boolean,
    next_product text,
    off_reason text,
    in_billing_retry boolean NOT NULL,
    grace_until timestamp with time zone,
    ended text,
    price_consent text,
    pause text,
    resumes_at timestamp with time zone,
    ended_at timestamp with time zone,
    CONSTRAINT renewal_pause_check CHECK ((pause = ANY (ARRAY['scheduled'::text, 'in_force'::text]))),
    CONSTRAINT renewal_price_consent_check CHECK ((price_consent = ANY (ARRAY['pending'::text, 'accepted'::text])))
);

--
-- Name: schema_migration; Type: TABLE; Schema: public; Owner: -
--

CREATE TABLE public.schema_migration (
    name text NOT NULL,
    sha256 text NOT NULL,
    applied_at timestamp with time zone NOT NULL
);

--
-- Name: sdk_event; Type: TABLE; Schema: public; Owner: -
--

CREATE TABLE public.sdk_event (
    project_id text NOT NULL,
    happened_at timestamp with time zone NOT NULL,
    event_id text NOT NULL,
    app_id text,
    app_user_id text NOT NULL,
    type text NOT NULL,
    data jsonb NOT NULL,
    received_at timestamp with time zone NOT NULL
);

--
-- Name: simulated_store; Type: TABLE; Schema: public; Owner: -
--

CREATE TABLE public.simulated_store (
    project_id text NOT NULL,
    app_id text NOT NULL,
    pen bytea NOT NULL,
    root bytea NOT NULL
);

--
-- Name: support_ticket; Type: TABLE; Schema: public; Owner: -
--

CREATE TABLE public.support_ticket (
    project_id text NOT NULL,
    customer_id text NOT NULL,
    ticket_id text NOT NULL,
    app_user_id text NOT NULL,
    email text NOT NULL,
    description text NOT NULL,
    created_at timestamp with time zone NOT NULL,
    closed_at timestamp with time zone
);

--
-- Name: transfer; Type: TABLE; Schema: public; Owner: -
--

CREATE TABLE public.transfer (
    project_id text NOT NULL,
    key text NOT NULL,
    transfer_id text NOT NULL,
    from_account text NOT NULL COLLATE pg_catalog."C",
    to_account text NOT NULL COLLATE pg_catalog."C",
    amount bigint NOT NULL,
    unit text NOT NULL,
    currency text NOT NULL,
    kind text NOT NULL,
    reference text,
    happened_at timestamp with time zone NOT NULL,
    recorded_at timestamp with time zone NOT NULL,
    CONSTRAINT transfer_amount_check CHECK ((amount > 0)),
    CONSTRAINT transfer_check CHECK ((from_account <> to_account)),
    CONSTRAINT transfer_check1 CHECK (((unit = 'virtual'::text) OR (currency ~ '^[A-Z]{3}$'::text))),
    CONSTRAINT transfer_from_account_check CHECK ((from_account <> ''::text)),
    CONSTRAINT transfer_to_account_check CHECK ((to_account <> ''::text)),
    CONSTRAINT transfer_unit_check CHECK ((unit = ANY (ARRAY['money'::text, 'virtual'::text])))
);

--
-- Name: unread; Type: TABLE; Schema: public; Owner: -
--

CREATE TABLE public.unread (
    project_id text NOT NULL,
    app_id text NOT NULL,
    source text NOT NULL,
    field text NOT NULL,
    said text NOT NULL,
    times bigint DEFAULT 1 NOT NULL,
    first_at timestamp with time zone NOT NULL,
    last_at timestamp with time zone NOT NULL,
    CONSTRAINT unread_source_check CHECK ((source = ANY (ARRAY['notification'::text, 'receipt'::text, 'answer'::text])))
);

--
-- Name: untold_event; Type: TABLE; Schema: public; Owner: -
--

CREATE TABLE public.untold_event (
    project_id text NOT NULL,
    customer_id text NOT NULL,
    line_id text NOT NULL,
    event_id text NOT NULL,
    sequence bigint NOT NULL,
    type text NOT NULL,
    app_id text,
    environment text NOT NULL,
    happened_at timestamp with time zone NOT NULL,
    body jsonb NOT NULL
);

--
-- Name: virtual_currency; Type: TABLE; Schema: public; Owner: -
--

CREATE TABLE public.virtual_currency (
    project_id text NOT NULL,
    code text NOT NULL,
    name text NOT NULL,
    description text,
    created_at timestamp with time zone NOT NULL,
    CONSTRAINT virtual_currency_code_check CHECK ((code ~ '^[a-zA-Z0-9_]{1,10}$'::text))
);

--
-- Name: ad_reward ad_reward_pkey; Type: CONSTRAINT; Schema: public; Owner: -
--

ALTER TABLE ONLY public.ad_reward
    ADD CONSTRAINT ad_reward_pkey PRIMARY KEY (project_id, app_id, reward_item, place);

--
-- Name: ad_reward_verification ad_reward_verification_pkey; Type: CONSTRAINT; Schema: public; Owner: -
--

ALTER TABLE ONLY public.ad_reward_verification
    ADD CONSTRAINT ad_reward_verification_pkey PRIMARY KEY (project_id, app_id, transaction_id);

--
-- Name: alias alias_pkey; Type: CONSTRAINT; Schema: public; Owner: -
--

ALTER TABLE ONLY public.alias
    ADD CONSTRAINT alias_pkey PRIMARY KEY (project_id, app_user_id) INCLUDE (customer_id);

--
-- Name: api_key api_key_pkey; Type: CONSTRAINT; Schema: public; Owner: -
--

ALTER TABLE ONLY public.api_key
    ADD CONSTRAINT api_key_pkey PRIMARY KEY (project_id, key_id);

--
-- Name: app app_pkey; Type: CONSTRAINT; Schema: public; Owner: -
--

ALTER TABLE ONLY public.app
    ADD CONSTRAINT app_pkey PRIMARY KEY (project_id, app_id);

--
-- Name: attribute attribute_pkey; Type: CONSTRAINT; Schema: public; Owner: -
--

ALTER TABLE ONLY public.attribute
    ADD CONSTRAINT attribute_pkey PRIMARY KEY (project_id, customer_id, name);

--
-- Name: attribution attribution_pkey; Type: CONSTRAINT; Schema: public; Owner: -
--

ALTER TABLE ONLY public.attribution
    ADD CONSTRAINT attribution_pkey PRIMARY KEY (project_id, customer_id, network);

--
-- Name: audit audit_pkey; Type: CONSTRAINT; Schema: public; Owner: -
--

ALTER TABLE ONLY public.audit
    ADD CONSTRAINT audit_pkey PRIMARY KEY (project_id, audit_id);

--
-- Name: blocked_customer blocked_customer_pkey; Type: CONSTRAINT; Schema: public; Owner: -
--

ALTER TABLE ONLY public.blocked_customer
    ADD CONSTRAINT blocked_customer_pkey PRIMARY KEY (project_id, app_user_id);

--
-- Name: bounded_account bounded_account_pkey; Type: CONSTRAINT; Schema: public; Owner: -
--

ALTER TABLE ONLY public.bounded_account
    ADD CONSTRAINT bounded_account_pkey PRIMARY KEY (project_id, account, unit, currency);

--
-- Name: catch_up catch_up_pkey; Type: CONSTRAINT; Schema: public; Owner: -
--

ALTER TABLE ONLY public.catch_up
    ADD CONSTRAINT catch_up_pkey PRIMARY KEY (project_id, app_id, catch_up_id);

--
-- Name: collaborator collaborator_pkey; Type: CONSTRAINT; Schema: public; Owner: -
--

ALTER TABLE ONLY public.collaborator
    ADD CONSTRAINT collaborator_pkey PRIMARY KEY (project_id, collaborator_id);

--
-- Name: currency_adjustment currency_adjustment_pkey; Type: CONSTRAINT; Schema: public; Owner: -
--

ALTER TABLE ONLY public.currency_adjustment
    ADD CONSTRAINT currency_adjustment_pkey PRIMARY KEY (project_id, customer_id, adjustment_id);

--
-- Name: currency_grant currency_grant_pkey; Type: CONSTRAINT; Schema: public; Owner: -
--

ALTER TABLE ONLY public.currency_grant
    ADD CONSTRAINT currency_grant_pkey PRIMARY KEY (project_id, customer_id, grant_id);

--
-- Name: customer_center customer_center_pkey; Type: CONSTRAINT; Schema: public; Owner: -
--

ALTER TABLE ONLY public.customer_center
    ADD CONSTRAINT customer_center_pkey PRIMARY KEY (project_id);

--
-- Name: customer_document customer_document_pkey; Type: CONSTRAINT; Schema: public; Owner: -
--

ALTER TABLE ONLY public.customer_document
    ADD CONSTRAINT customer_document_pkey PRIMARY KEY (project_id, customer_id);

--
-- Name: customer customer_pkey; Type: CONSTRAINT; Schema: public; Owner: -
--

ALTER TABLE ONLY public.customer
    ADD CONSTRAINT customer_pkey PRIMARY KEY (project_id, customer_id);

--
-- Name: deleted_app_user_id deleted_app_user_id_pkey; Type: CONSTRAINT; Schema: public; Owner: -
--

ALTER TABLE ONLY public.deleted_app_user_id
    ADD CONSTRAINT deleted_app_user_id_pkey PRIMARY KEY (project_id, hash);

--
-- Name: deleted_project deleted_project_pkey; Type: CONSTRAINT; Schema: public; Owner: -
--

ALTER TABLE ONLY public.deleted_project
    ADD CONSTRAINT deleted_project_pkey PRIMARY KEY (project_id);

--
-- Name: delivery delivery_pkey; Type: CONSTRAINT; Schema: public; Owner: -
--

ALTER TABLE ONLY public.delivery
    ADD CONSTRAINT delivery_pkey PRIMARY KEY (project_id, customer_id, endpoint_id, event_id);

--
-- Name: endpoint endpoint_pkey; Type: CONSTRAINT; Schema: public; Owner: -
--

ALTER TABLE ONLY public.endpoint
    ADD CONSTRAINT endpoint_pkey PRIMARY KEY (project_id, endpoint_id);

--
-- Name: entitlement entitlement_pkey; Type: CONSTRAINT; Schema: public; Owner: -
--

ALTER TABLE ONLY public.entitlement
    ADD CONSTRAINT entitlement_pkey PRIMARY KEY (project_id, entitlement_id);

--
-- Name: entitlement_product entitlement_product_pkey; Type: CONSTRAINT; Schema: public; Owner: -
--

ALTER TABLE ONLY public.entitlement_product
    ADD CONSTRAINT entitlement_product_pkey PRIMARY KEY (project_id, entitlement_id, product_id);

--
-- Name: entitlement entitlement_project_id_lookup_key_key; Type: CONSTRAINT; Schema: public; Owner: -
--

ALTER TABLE ONLY public.entitlement
    ADD CONSTRAINT entitlement_project_id_lookup_key_key UNIQUE (project_id, lookup_key);

--
-- Name: event event_pkey; Type: CONSTRAINT; Schema: public; Owner: -
--

ALTER TABLE ONLY public.event
    ADD CONSTRAINT event_pkey PRIMARY KEY (project_id, customer_id, event_id);

--
-- Name: event event_project_id_customer_id_sequence_key; Type: CONSTRAINT; Schema: public; Owner: -
--

ALTER TABLE ONLY public.event
    ADD CONSTRAINT event_project_id_customer_id_sequence_key UNIQUE (project_id, customer_id, sequence);

--
-- Name: export export_pkey; Type: CONSTRAINT; Schema: public; Owner: -
--

ALTER TABLE ONLY public.export
    ADD CONSTRAINT export_pkey PRIMARY KEY (project_id, export_id);

--
-- Name: export_run export_run_pkey; Type: CONSTRAINT; Schema: public; Owner: -
--

ALTER TABLE ONLY public.export_run
    ADD CONSTRAINT export_run_pkey PRIMARY KEY (project_id, export_id, run_id);

--
-- Name: external_payment external_payment_pkey; Type: CONSTRAINT; Schema: public; Owner: -
--

ALTER TABLE ONLY public.external_payment
    ADD CONSTRAINT external_payment_pkey PRIMARY KEY (project_id, app_id, payment);

--
-- Name: idempotent_request idempotent_request_pkey; Type: CONSTRAINT; Schema: public; Owner: -
--

ALTER TABLE ONLY public.idempotent_request
    ADD CONSTRAINT idempotent_request_pkey PRIMARY KEY (project_id, key_id, idempotency_key);

--
-- Name: import_batch import_batch_pkey; Type: CONSTRAINT; Schema: public; Owner: -
--

ALTER TABLE ONLY public.import_batch
    ADD CONSTRAINT import_batch_pkey PRIMARY KEY (project_id, import_id, batch);

--
-- Name: import import_pkey; Type: CONSTRAINT; Schema: public; Owner: -
--

ALTER TABLE ONLY public.import
    ADD CONSTRAINT import_pkey PRIMARY KEY (project_id, import_id);

--
-- Name: inquiry inquiry_pkey; Type: CONSTRAINT; Schema: public; Owner: -
--

ALTER TABLE ONLY public.inquiry
    ADD CONSTRAINT inquiry_pkey PRIMARY KEY (project_id, app_id, environment, subject);

--
-- Name: installation_secret installation_secret_pkey; Type: CONSTRAINT; Schema: public; Owner: -
--

ALTER TABLE ONLY public.installation_secret
    ADD CONSTRAINT installation_secret_pkey PRIMARY KEY (name);

--
-- Name: line_directory line_directory_pkey; Type: CONSTRAINT; Schema: public; Owner: -
--

ALTER TABLE ONLY public.line_directory
    ADD CONSTRAINT line_directory_pkey PRIMARY KEY (project_id, store, environment, store_line);

--
-- Name: line line_pkey; Type: CONSTRAINT; Schema: public; Owner: -
--

ALTER TABLE ONLY public.line
    ADD CONSTRAINT line_pkey PRIMARY KEY (project_id, customer_id, line_id);

--
-- Name: misdelivery misdelivery_pkey; Type: CONSTRAINT; Schema: public; Owner: -
--

ALTER TABLE ONLY public.misdelivery
    ADD CONSTRAINT misdelivery_pkey PRIMARY KEY (project_id, app_id, wrapping);

--
-- Name: notification notification_pkey; Type: CONSTRAINT; Schema: public; Owner: -
--

ALTER TABLE ONLY public.notification
    ADD CONSTRAINT notification_pkey PRIMARY KEY (project_id, app_id, message_id);

--
-- Name: oauth_client oauth_client_pkey; Type: CONSTRAINT; Schema: public; Owner: -
--

ALTER TABLE ONLY public.oauth_client
    ADD CONSTRAINT oauth_client_pkey PRIMARY KEY (project_id, client_id);

--
-- Name: oauth_code oauth_code_pkey; Type: CONSTRAINT; Schema: public; Owner: -
--

ALTER TABLE ONLY public.oauth_code
    ADD CONSTRAINT oauth_code_pkey PRIMARY KEY (project_id, grant_id);

--
-- Name: oauth_grant oauth_grant_pkey; Type: CONSTRAINT; Schema: public; Owner: -
--

ALTER TABLE ONLY public.oauth_grant
    ADD CONSTRAINT oauth_grant_pkey PRIMARY KEY (project_id, grant_id);

--
-- Name: oauth_token oauth_token_pkey; Type: CONSTRAINT; Schema: public; Owner: -
--

ALTER TABLE ONLY public.oauth_token
    ADD CONSTRAINT oauth_token_pkey PRIMARY KEY (project_id, grant_id, hash);

--
-- Name: offering_override offering_override_pkey; Type: CONSTRAINT; Schema: public; Owner: -
--

ALTER TABLE ONLY public.offering_override
    ADD CONSTRAINT offering_override_pkey PRIMARY KEY (project_id, customer_id);

--
-- Name: offering offering_pkey; Type: CONSTRAINT; Schema: public; Owner: -
--

ALTER TABLE ONLY public.offering
    ADD CONSTRAINT offering_pkey PRIMARY KEY (project_id, offering_id);

--
-- Name: offering offering_project_id_lookup_key_key; Type: CONSTRAINT; Schema: public; Owner: -
--

ALTER TABLE ONLY public.offering
    ADD CONSTRAINT offering_project_id_lookup_key_key UNIQUE (project_id, lookup_key);

--
-- Name: package package_pkey; Type: CONSTRAINT; Schema: public; Owner: -
--

ALTER TABLE ONLY public.package
    ADD CONSTRAINT package_pkey PRIMARY KEY (project_id, package_id);

--
-- Name: package_product package_product_pkey; Type: CONSTRAINT; Schema: public; Owner: -
--

ALTER TABLE ONLY public.package_product
    ADD CONSTRAINT package_product_pkey PRIMARY KEY (project_id, package_id, product_id);

--
-- Name: package package_project_id_offering_id_lookup_key_key; Type: CONSTRAINT; Schema: public; Owner: -
--

ALTER TABLE ONLY public.package
    ADD CONSTRAINT package_project_id_offering_id_lookup_key_key UNIQUE (project_id, offering_id, lookup_key);

--
-- Name: placement placement_pkey; Type: CONSTRAINT; Schema: public; Owner: -
--

ALTER TABLE ONLY public.placement
    ADD CONSTRAINT placement_pkey PRIMARY KEY (project_id, identifier);

--
-- Name: price price_pkey; Type: CONSTRAINT; Schema: public; Owner: -
--

ALTER TABLE ONLY public.price
    ADD CONSTRAINT price_pkey PRIMARY KEY (project_id, product_id, currency);

--
-- Name: product_grant product_grant_pkey; Type: CONSTRAINT; Schema: public; Owner: -
--

ALTER TABLE ONLY public.product_grant
    ADD CONSTRAINT product_grant_pkey PRIMARY KEY (project_id, code, "position");

--
-- Name: product_grant_product product_grant_product_pkey; Type: CONSTRAINT; Schema: public; Owner: -
--

ALTER TABLE ONLY public.product_grant_product
    ADD CONSTRAINT product_grant_product_pkey PRIMARY KEY (project_id, code, product_id);

--
-- Name: product product_pkey; Type: CONSTRAINT; Schema: public; Owner: -
--

ALTER TABLE ONLY public.product
    ADD CONSTRAINT product_pkey PRIMARY KEY (project_id, product_id);

--
-- Name: product product_project_id_app_id_store_identifier_key; Type: CONSTRAINT; Schema: public; Owner: -
--

ALTER TABLE ONLY public.product
    ADD CONSTRAINT product_project_id_app_id_store_identifier_key UNIQUE (project_id, app_id, store_identifier);

--
-- Name: project project_pkey; Type: CONSTRAINT; Schema: public; Owner: -
--

ALTER TABLE ONLY public.project
    ADD CONSTRAINT project_pkey PRIMARY KEY (project_id);

--
-- Name: purchase purchase_parts_have_a_price; Type: CHECK CONSTRAINT; Schema: public; Owner: -
--

ALTER TABLE public.purchase
    ADD CONSTRAINT purchase_parts_have_a_price CHECK (((price_amount IS NOT NULL) OR ((tax_amount IS NULL) AND (commission_amount IS NULL)))) NOT VALID;

--
-- Name: purchase purchase_pkey; Type: CONSTRAINT; Schema: public; Owner: -
--

ALTER TABLE ONLY public.purchase
    ADD CONSTRAINT purchase_pkey PRIMARY KEY (project_id, customer_id, line_id, transaction);

--
-- Name: redemption redemption_pkey; Type: CONSTRAINT; Schema: public; Owner: -
--

ALTER TABLE ONLY public.redemption
    ADD CONSTRAINT redemption_pkey PRIMARY KEY (project_id, customer_id, token_hash);

--
-- Name: renewal renewal_pkey; Type: CONSTRAINT; Schema: public; Owner: -
--

ALTER TABLE ONLY public.renewal
    ADD CONSTRAINT renewal_pkey PRIMARY KEY (project_id, customer_id, line_id, as_of);

--
-- Name: schema_migration schema_migration_pkey; Type: CONSTRAINT; Schema: public; Owner: -
--

ALTER TABLE ONLY public.schema_migration
    ADD CONSTRAINT schema_migration_pkey PRIMARY KEY (name);

--
-- Name: sdk_event sdk_event_pkey; Type: CONSTRAINT; Schema: public; Owner: -
--

ALTER TABLE ONLY public.sdk_event
    ADD CONSTRAINT sdk_event_pkey PRIMARY KEY (project_id, happened_at, event_id);

--
-- Name: sdk_event_shelf sdk_event_shelf_pkey; Type: CONSTRAINT; Schema: public; Owner: -
--

ALTER TABLE ONLY public.sdk_event_shelf
    ADD CONSTRAINT sdk_event_shelf_pkey PRIMARY KEY (project_id);

--
-- Name: simulated_play_store simulated_play_store_pkey; Type: CONSTRAINT; Schema: public; Owner: -
--

ALTER TABLE ONLY public.simulated_play_store
    ADD CONSTRAINT simulated_play_store_pkey PRIMARY KEY (project_id, app_id, code);

--
-- Name: simulated_store simulated_store_pkey; Type: CONSTRAINT; Schema: public; Owner: -
--

ALTER TABLE ONLY public.simulated_store
    ADD CONSTRAINT simulated_store_pkey PRIMARY KEY (project_id, app_id);

--
-- Name: simulated_stripe simulated_stripe_pkey; Type: CONSTRAINT; Schema: public; Owner: -
--

ALTER TABLE ONLY public.simulated_stripe
    ADD CONSTRAINT simulated_stripe_pkey PRIMARY KEY (project_id, app_id, code);

--
-- Name: simulated_subscription simulated_subscription_pkey; Type: CONSTRAINT; Schema: public; Owner: -
--

ALTER TABLE ONLY public.simulated_subscription
    ADD CONSTRAINT simulated_subscription_pkey PRIMARY KEY (project_id, app_id, store_line);

--
-- Name: store_act store_act_pkey; Type: CONSTRAINT; Schema: public; Owner: -
--

ALTER TABLE ONLY public.store_act
    ADD CONSTRAINT store_act_pkey PRIMARY KEY (project_id, app_id, act_id);

--
-- Name: support_ticket support_ticket_pkey; Type: CONSTRAINT; Schema: public; Owner: -
--

ALTER TABLE ONLY public.support_ticket
    ADD CONSTRAINT support_ticket_pkey PRIMARY KEY (project_id, customer_id, ticket_id);

--
-- Name: transfer transfer_pkey; Type: CONSTRAINT; Schema: public; Owner: -
--

ALTER TABLE ONLY public.transfer
    ADD CONSTRAINT transfer_pkey PRIMARY KEY (project_id, key);

--
-- Name: unread unread_pkey; Type: CONSTRAINT; Schema: public; Owner: -
--

ALTER TABLE ONLY public.unread
    ADD CONSTRAINT unread_pkey PRIMARY KEY (project_id, app_id, source, field);

--
-- Name: untold_event untold_event_pkey; Type: CONSTRAINT; Schema: public; Owner: -
--

ALTER TABLE ONLY public.untold_event
    ADD CONSTRAINT untold_event_pkey PRIMARY KEY (project_id, customer_id, line_id, event_id);

--
-- Name: virtual_currency virtual_currency_pkey; Type: CONSTRAINT; Schema: public; Owner: -
--

ALTER TABLE ONLY public.virtual_currency
    ADD CONSTRAINT virtual_currency_pkey PRIMARY KEY (project_id, code);

--
-- Name: ad_reward_verification_by_client; Type: INDEX; Schema: public; Owner: -
--

CREATE INDEX ad_reward_verification_by_client ON public.ad_reward_verification USING btree (project_id, client_transaction) WHERE (client_transaction IS NOT NULL);

--
-- Name: ad_reward_verification_by_customer; Type: INDEX; Schema: public; Owner: -
--

CREATE INDEX ad_reward_verification_by_customer ON public.ad_reward_verification USING btree (project_id, customer_id) WHERE (customer_id IS NOT NULL);

--
-- Name: alias_by_customer; Type: INDEX; Schema: public; Owner: -
--

CREATE INDEX alias_by_customer ON public.alias USING btree (project_id, customer_id);

--
-- Name: alias_by_hash; Type: INDEX; Schema: public; Owner: -
--

CREATE INDEX alias_by_hash ON public.alias USING btree (project_id, public.hash_of_id(app_user_id));

--
-- Name: api_key_hash; Type: INDEX; Schema: public; Owner: -
--

CREATE INDEX api_key_hash ON public.api_key USING btree (hash);

--
-- Name: app_directory; Type: INDEX; Schema: public; Owner: -
--

CREATE INDEX app_directory ON public.app USING btree (app_id);

--
-- Name: attribute_email; Type: INDEX; Schema: public; Owner: -
--

CREATE INDEX attribute_email ON public.attribute USING btree (project_id, lower(value)) WHERE (name = '$email'::text);

--
-- Name: audit_by_target; Type: INDEX; Schema: public; Owner: -
--

CREATE INDEX audit_by_target ON public.audit USING btree (project_id, target);

--
-- Name: collaborator_email; Type: INDEX; Schema: public; Owner: -
--

CREATE UNIQUE INDEX collaborator_email ON public.collaborator USING btree (project_id, lower(email));

--
-- Name: currency_grant_by_purchase; Type: INDEX; Schema: public; Owner: -
--

CREATE UNIQUE INDEX currency_grant_by_purchase ON public.currency_grant USING btree (project_id, store, environment, transaction, code);

--
-- Name: currency_grant_wake; Type: INDEX; Schema: public; Owner: -
--

CREATE INDEX currency_grant_wake ON public.currency_grant USING btree (project_id, wake_at) WHERE (wake_at IS NOT NULL);

--
-- Name: customer_merged_into; Type: INDEX; Schema: public; Owner: -
--

CREATE INDEX customer_merged_into ON public.customer USING btree (project_id, merged_into) WHERE (merged_into IS NOT NULL);

--
-- Name: deleted_app_user_id_by_customer; Type: INDEX; Schema: public; Owner: -
--

CREATE INDEX deleted_app_user_id_by_customer ON public.deleted_app_user_id USING btree (project_id, customer_id);

--
-- Name: delivery_due; Type: INDEX; Schema: public; Owner: -
--

CREATE INDEX delivery_due ON public.delivery USING btree (project_id, endpoint_id, wake_at) WHERE (wake_at IS NOT NULL);

--
-- Name: delivery_in_batch; Type: INDEX; Schema: public; Owner: -
--

CREATE INDEX delivery_in_batch ON public.delivery USING btree (project_id, endpoint_id, batch) WHERE ((wake_at IS NOT NULL) AND (batch IS NOT NULL));

--
-- Name: delivery_parked; Type: INDEX; Schema: public; Owner: -
--

CREATE INDEX delivery_parked ON public.delivery USING btree (project_id, endpoint_id) WHERE (parked_at IS NOT NULL);

--
-- Name: delivery_queue; Type: INDEX; Schema: public; Owner: -
--

CREATE INDEX delivery_queue ON public.delivery USING btree (project_id, endpoint_id, customer_id, sequence) WHERE (num_nulls(wake_at) = 0);

--
-- Name: delivery_wake; Type: INDEX; Schema: public; Owner: -
--

CREATE INDEX delivery_wake ON public.delivery USING btree (project_id, wake_at) WHERE (wake_at IS NOT NULL);

--
-- Name: entitlement_product_by_product; Type: INDEX; Schema: public; Owner: -
--

CREATE INDEX entitlement_product_by_product ON public.entitlement_product USING btree (project_id, product_id);

--
-- Name: event_by_id; Type: INDEX; Schema: public; Owner: -
--

CREATE INDEX event_by_id ON public.event USING btree (project_id, event_id);

--
-- Name: event_by_time; Type: INDEX; Schema: public; Owner: -
--

CREATE INDEX event_by_time ON public.event USING btree (project_id, recorded_at, event_id);

--
-- Name: event_transfers; Type: INDEX; Schema: public; Owner: -
--

CREATE INDEX event_transfers ON public.event USING btree (project_id) WHERE (type = 'TRANSFER'::text);

--
-- Name: export_wake; Type: INDEX; Schema: public; Owner: -
--

CREATE INDEX export_wake ON public.export USING btree (project_id, wake_at) WHERE (wake_at IS NOT NULL);

--
-- Name: external_payment_by_line; Type: INDEX; Schema: public; Owner: -
--

CREATE INDEX external_payment_by_line ON public.external_payment USING btree (project_id, app_id, environment, store_line);

--
-- Name: idempotent_request_wake; Type: INDEX; Schema: public; Owner: -
--

CREATE INDEX idempotent_request_wake ON public.idempotent_request USING btree (project_id, wake_at);

--
-- Name: import_by_fingerprint; Type: INDEX; Schema: public; Owner: -
--

CREATE INDEX import_by_fingerprint ON public.import USING btree (project_id, fingerprint) WHERE (finished_at IS NULL);

--
-- Name: inquiry_parked; Type: INDEX; Schema: public; Owner: -
--

CREATE INDEX inquiry_parked ON public.inquiry USING btree (project_id, app_id) WHERE (wake_at IS NULL);

--
-- Name: inquiry_wake; Type: INDEX; Schema: public; Owner: -
--

CREATE INDEX inquiry_wake ON public.inquiry USING btree (project_id, wake_at) WHERE (wake_at IS NOT NULL);

--
-- Name: line_by_id; Type: INDEX; Schema: public; Owner: -
--

CREATE INDEX line_by_id ON public.line USING btree (project_id, line_id);

--
-- Name: line_directory_by_line; Type: INDEX; Schema: public; Owner: -
--

CREATE INDEX line_directory_by_line ON public.line_directory USING btree (project_id, customer_id, line_id);

--
-- Name: line_refused_name; Type: INDEX; Schema: public; Owner: -
--

CREATE INDEX line_refused_name ON public.line USING btree (project_id, line_id) WHERE (refused_name IS NOT NULL);

--
-- Name: line_unclaimed; Type: INDEX; Schema: public; Owner: -
--

CREATE INDEX line_unclaimed ON public.line USING btree (project_id, unclaimed_since, line_id) WHERE (unclaimed_since IS NOT NULL);

--
-- Name: line_wake; Type: INDEX; Schema: public; Owner: -
--

CREATE INDEX line_wake ON public.line USING btree (project_id, wake_at) WHERE (wake_at IS NOT NULL);

--
-- Name: notification_parked; Type: INDEX; Schema: public; Owner: -
--

CREATE INDEX notification_parked ON public.notification USING btree (project_id, app_id) WHERE ((digested_at IS NULL) AND (wake_at IS NULL));

--
-- Name: notification_unreadable; Type: INDEX; Schema: public; Owner: -
--

CREATE INDEX notification_unreadable ON public.notification USING btree (project_id, digested_at) WHERE (outcome ~~ 'unreadable:%'::text);

--
-- Name: notification_wake; Type: INDEX; Schema: public; Owner: -
--

CREATE INDEX notification_wake ON public.notification USING btree (project_id, wake_at) WHERE (wake_at IS NOT NULL);

--
-- Name: oauth_client_directory; Type: INDEX; Schema: public; Owner: -
--

CREATE INDEX oauth_client_directory ON public.oauth_client USING btree (client_id);

--
-- Name: oauth_code_hash; Type: INDEX; Schema: public; Owner: -
--

CREATE INDEX oauth_code_hash ON public.oauth_code USING btree (hash);

--
-- Name: oauth_token_hash; Type: INDEX; Schema: public; Owner: -
--

CREATE INDEX oauth_token_hash ON public.oauth_token USING btree (hash);

--
-- Name: offering_one_is_current; Type: INDEX; Schema: public; Owner: -
--

CREATE UNIQUE INDEX offering_one_is_current ON public.offering USING btree (project_id) WHERE is_current;

--
-- Name: offering_override_by_offering; Type: INDEX; Schema: public; Owner: -
--

CREATE INDEX offering_override_by_offering ON public.offering_override USING btree (project_id, offering_id);

--
-- Name: package_product_by_product; Type: INDEX; Schema: public; Owner: -
--

CREATE INDEX package_product_by_product ON public.package_product USING btree (project_id, product_id);

--
-- Name: product_grant_product_by_grant; Type: INDEX; Schema: public; Owner: -
--

CREATE INDEX product_grant_product_by_grant ON public.product_grant_product USING btree (project_id, code, "position");

--
-- Name: product_grant_product_by_product; Type: INDEX; Schema: public; Owner: -
--

CREATE INDEX product_grant_product_by_product ON public.product_grant_product USING btree (project_id, product_id);

--
-- Name: redemption_by_token; Type: INDEX; Schema: public; Owner: -
--

CREATE UNIQUE INDEX redemption_by_token ON public.redemption USING btree (project_id, token_hash);

--
-- Name: sdk_event_by_person; Type: INDEX; Schema: public; Owner: -
--

CREATE INDEX sdk_event_by_person ON public.sdk_event USING btree (project_id, app_user_id);

--
-- Name: sdk_event_by_type; Type: INDEX; Schema: public; Owner: -
--

CREATE INDEX sdk_event_by_type ON public.sdk_event USING btree (project_id, type, happened_at);

--
-- Name: simulated_play_store_wake; Type: INDEX; Schema: public; Owner: -
--

CREATE INDEX simulated_play_store_wake ON public.simulated_play_store USING btree (project_id, wake_at) WHERE (wake_at IS NOT NULL);

--
-- Name: simulated_stripe_wake; Type: INDEX; Schema: public; Owner: -
--

CREATE INDEX simulated_stripe_wake ON public.simulated_stripe USING btree (project_id, wake_at) WHERE (wake_at IS NOT NULL);

--
-- Name: simulated_subscription_wake; Type: INDEX; Schema: public; Owner: -
--

CREATE INDEX simulated_subscription_wake ON public.simulated_subscription USING btree (project_id, wake_at) WHERE (wake_at IS NOT NULL);

--
-- Name: store_act_parked; Type: INDEX; Schema: public; Owner: -
--

CREATE INDEX store_act_parked ON public.store_act USING btree (project_id, app_id) WHERE ((wake_at IS NULL) AND (done_at IS NULL));

--
-- Name: store_act_wake; Type: INDEX; Schema: public; Owner: -
--

CREATE INDEX store_act_wake ON public.store_act USING btree (project_id, wake_at) WHERE (wake_at IS NOT NULL);

--
-- Name: support_ticket_by_id; Type: INDEX; Schema: public; Owner: -
--

CREATE UNIQUE INDEX support_ticket_by_id ON public.support_ticket USING btree (project_id, ticket_id);

--
-- Name: transfer_from; Type: INDEX; Schema: public; Owner: -
--

CREATE INDEX transfer_from ON public.transfer USING btree (project_id, from_account, transfer_id) INCLUDE (unit, currency, amount);

--
-- Name: transfer_to; Type: INDEX; Schema: public; Owner: -
--

CREATE INDEX transfer_to ON public.transfer USING btree (project_id, to_account, transfer_id) INCLUDE (unit, currency, amount);

--
-- Name: customer forget_document; Type: TRIGGER; Schema: public; Owner: -
--

CREATE TRIGGER forget_document AFTER UPDATE OF version ON public.customer FOR EACH ROW WHEN ((old.version IS DISTINCT FROM new.version)) EXECUTE FUNCTION public.forget_document();

--
-- Name: ad_reward ad_reward_project_id_app_id_fkey; Type: FK CONSTRAINT; Schema: public; Owner: -
--

ALTER TABLE ONLY public.ad_reward
    ADD CONSTRAINT ad_reward_project_id_app_id_fkey FOREIGN KEY (project_id, app_id) REFERENCES public.app(project_id, app_id) ON DELETE CASCADE;

--
-- Name: ad_reward_verification ad_reward_verification_project_id_app_id_fkey; Type: FK CONSTRAINT; Schema: public; Owner: -
--

ALTER TABLE ONLY public.ad_reward_verification
    ADD CONSTRAINT ad_reward_verification_project_id_app_id_fkey FOREIGN KEY (project_id, app_id) REFERENCES public.app(project_id, app_id) ON DELETE CASCADE;

--
-- Name: ad_reward_verification ad_reward_verification_project_id_customer_id_fkey; Type: FK CONSTRAINT; Schema: public; Owner: -
--

ALTER TABLE ONLY public.ad_reward_verification
    ADD CONSTRAINT ad_reward_verification_project_id_customer_id_fkey FOREIGN KEY (project_id, customer_id) REFERENCES public.customer(project_id, customer_id);

--
-- Name: alias alias_project_id_customer_id_fkey; Type: FK CONSTRAINT; Schema: public; Owner: -
--

ALTER TABLE ONLY public.alias
    ADD CONSTRAINT alias_project_id_customer_id_fkey FOREIGN KEY (project_id, customer_id) REFERENCES public.customer(project_id, customer_id) ON DELETE CASCADE;

--
-- Name: api_key api_key_project_id_app_id_fkey; Type: FK CONSTRAINT; Schema: public; Owner: -
--

ALTER TABLE ONLY public.api_key
    ADD CONSTRAINT api_key_project_id_app_id_fkey FOREIGN KEY (project_id, app_id) REFERENCES public.app(project_id, app_id) ON DELETE CASCADE;

--
-- Name: api_key api_key_project_id_fkey; Type: FK CONSTRAINT; Schema: public; Owner: -
--

ALTER TABLE ONLY public.api_key
    ADD CONSTRAINT api_key_project_id_fkey FOREIGN KEY (project_id) REFERENCES public.project(project_id);

--
-- Name: app app_project_id_fkey; Type: FK CONSTRAINT; Schema: public; Owner: -
--

ALTER TABLE ONLY public.app
    ADD CONSTRAINT app_project_id_fkey FOREIGN KEY (project_id) REFERENCES public.project(project_id);

--
-- Name: attribute attribute_project_id_customer_id_fkey; Type: FK CONSTRAINT; Schema: public; Owner: -
--

ALTER TABLE ONLY public.attribute
    ADD CONSTRAINT attribute_project_id_customer_id_fkey FOREIGN KEY (project_id, customer_id) REFERENCES public.customer(project_id, customer_id) ON DELETE CASCADE;

--
-- Name: attribution attribution_project_id_customer_id_fkey; Type: FK CONSTRAINT; Schema: public; Owner: -
--

ALTER TABLE ONLY public.attribution
    ADD CONSTRAINT attribution_project_id_customer_id_fkey FOREIGN KEY (project_id, customer_id) REFERENCES public.customer(project_id, customer_id) ON DELETE CASCADE;

--
-- Name: audit audit_project_id_fkey; Type: FK CONSTRAINT; Schema: public; Owner: -
--

ALTER TABLE ONLY public.audit
    ADD CONSTRAINT audit_project_id_fkey FOREIGN KEY (project_id) REFERENCES public.project(project_id);

--
-- Name: blocked_customer blocked_customer_project_id_fkey; Type: FK CONSTRAINT; Schema: public; Owner: -
--

ALTER TABLE ONLY public.blocked_customer
    ADD CONSTRAINT blocked_customer_project_id_fkey FOREIGN KEY (project_id) REFERENCES public.project(project_id);

--
-- Name: bounded_account bounded_account_project_id_fkey; Type: FK CONSTRAINT; Schema: public; Owner: -
--

ALTER TABLE ONLY public.bounded_account
    ADD CONSTRAINT bounded_account_project_id_fkey FOREIGN KEY (project_id) REFERENCES public.project(project_id);

--
-- Name: catch_up catch_up_project_id_app_id_fkey; Type: FK CONSTRAINT; Schema: public; Owner: -
--

ALTER TABLE ONLY public.catch_up
    ADD CONSTRAINT catch_up_project_id_app_id_fkey FOREIGN KEY (project_id, app_id) REFERENCES public.app(project_id, app_id) ON DELETE CASCADE;

--
-- Name: collaborator collaborator_project_id_fkey; Type: FK CONSTRAINT; Schema: public; Owner: -
--

ALTER TABLE ONLY public.collaborator
    ADD CONSTRAINT collaborator_project_id_fkey FOREIGN KEY (project_id) REFERENCES public.project(project_id);

--
-- Name: currency_adjustment currency_adjustment_project_id_customer_id_fkey; Type: FK CONSTRAINT; Schema: public; Owner: -
--

ALTER TABLE ONLY public.currency_adjustment
    ADD CONSTRAINT currency_adjustment_project_id_customer_id_fkey FOREIGN KEY (project_id, customer_id) REFERENCES public.customer(project_id, customer_id);

--
-- Name: currency_grant currency_grant_project_id_customer_id_fkey; Type: FK CONSTRAINT; Schema: public; Owner: -
--

ALTER TABLE ONLY public.currency_grant
    ADD CONSTRAINT currency_grant_project_id_customer_id_fkey FOREIGN KEY (project_id, customer_id) REFERENCES public.customer(project_id, customer_id);

--
-- Name: customer_center customer_center_project_id_fkey; Type: FK CONSTRAINT; Schema: public; Owner: -
--

ALTER TABLE ONLY public.customer_center
    ADD CONSTRAINT customer_center_project_id_fkey FOREIGN KEY (project_id) REFERENCES public.project(project_id);

--
-- Name: customer_document customer_document_project_id_customer_id_fkey; Type: FK CONSTRAINT; Schema: public; Owner: -
--

ALTER TABLE ONLY public.customer_document
    ADD CONSTRAINT customer_document_project_id_customer_id_fkey FOREIGN KEY (project_id, customer_id) REFERENCES public.customer(project_id, customer_id) ON DELETE CASCADE;

--
-- Name: customer customer_project_id_fkey; Type: FK CONSTRAINT; Schema: public; Owner: -
--

ALTER TABLE ONLY public.customer
    ADD CONSTRAINT customer_project_id_fkey FOREIGN KEY (project_id) REFERENCES public.project(project_id);

--
-- Name: deleted_app_user_id deleted_app_user_id_project_id_fkey; Type: FK CONSTRAINT; Schema: public; Owner: -
--

ALTER TABLE ONLY public.deleted_app_user_id
    ADD CONSTRAINT deleted_app_user_id_project_id_fkey FOREIGN KEY (project_id) REFERENCES public.project(project_id);

--
-- Name: delivery delivery_project_id_customer_id_event_id_fkey; Type: FK CONSTRAINT; Schema: public; Owner: -
--

ALTER TABLE ONLY public.delivery
    ADD CONSTRAINT delivery_project_id_customer_id_event_id_fkey FOREIGN KEY (project_id, customer_id, event_id) REFERENCES public.event(project_id, customer_id, event_id) ON DELETE CASCADE;

--
-- Name: delivery delivery_project_id_endpoint_id_fkey; Type: FK CONSTRAINT; Schema: public; Owner: -
--

ALTER TABLE ONLY public.delivery
    ADD CONSTRAINT delivery_project_id_endpoint_id_fkey FOREIGN KEY (project_id, endpoint_id) REFERENCES public.endpoint(project_id, endpoint_id) ON DELETE CASCADE;

--
-- Name: endpoint endpoint_project_id_app_id_fkey; Type: FK CONSTRAINT; Schema: public; Owner: -
--

ALTER TABLE ONLY public.endpoint
    ADD CONSTRAINT endpoint_project_id_app_id_fkey FOREIGN KEY (project_id, app_id) REFERENCES public.app(project_id, app_id) ON DELETE CASCADE;

--
-- Name: endpoint endpoint_project_id_fkey; Type: FK CONSTRAINT; Schema: public; Owner: -
--

ALTER TABLE ONLY public.endpoint
    ADD CONSTRAINT endpoint_project_id_fkey FOREIGN KEY (project_id) REFERENCES public.project(project_id);

--
-- Name: entitlement_product entitlement_product_project_id_entitlement_id_fkey; Type: FK CONSTRAINT; Schema: public; Owner: -
--

ALTER TABLE ONLY public.entitlement_product
    ADD CONSTRAINT entitlement_product_project_id_entitlement_id_fkey FOREIGN KEY (project_id, entitlement_id) REFERENCES public.entitlement(project_id, entitlement_id) ON DELETE CASCADE;

--
-- Name: entitlement_product entitlement_product_project_id_product_id_fkey; Type: FK CONSTRAINT; Schema: public; Owner: -
--

ALTER TABLE ONLY public.entitlement_product
    ADD CONSTRAINT entitlement_product_project_id_product_id_fkey FOREIGN KEY (project_id, product_id) REFERENCES public.product(project_id, product_id) ON DELETE CASCADE;

--
-- Name: entitlement entitlement_project_id_fkey; Type: FK CONSTRAINT; Schema: public; Owner: -
--

ALTER TABLE ONLY public.entitlement
    ADD CONSTRAINT entitlement_project_id_fkey FOREIGN KEY (project_id) REFERENCES public.project(project_id);

--
-- Name: event event_project_id_fkey; Type: FK CONSTRAINT; Schema: public; Owner: -
--

ALTER TABLE ONLY public.event
    ADD CONSTRAINT event_project_id_fkey FOREIGN KEY (project_id) REFERENCES public.project(project_id);

--
-- Name: export export_project_id_fkey; Type: FK CONSTRAINT; Schema: public; Owner: -
--

ALTER TABLE ONLY public.export
    ADD CONSTRAINT export_project_id_fkey FOREIGN KEY (project_id) REFERENCES public.project(project_id);

--
-- Name: export_run export_run_project_id_export_id_fkey; Type: FK CONSTRAINT; Schema: public; Owner: -
--

ALTER TABLE ONLY public.export_run
    ADD CONSTRAINT export_run_project_id_export_id_fkey FOREIGN KEY (project_id, export_id) REFERENCES public.export(project_id, export_id) ON DELETE CASCADE;

--
-- Name: external_payment external_payment_project_id_app_id_fkey; Type: FK CONSTRAINT; Schema: public; Owner: -
--

ALTER TABLE ONLY public.external_payment
    ADD CONSTRAINT external_payment_project_id_app_id_fkey FOREIGN KEY (project_id, app_id) REFERENCES public.app(project_id, app_id) ON DELETE CASCADE;

--
-- Name: idempotent_request idempotent_request_project_id_fkey; Type: FK CONSTRAINT; Schema: public; Owner: -
--

ALTER TABLE ONLY public.idempotent_request
    ADD CONSTRAINT idempotent_request_project_id_fkey FOREIGN KEY (project_id) REFERENCES public.project(project_id);

--
-- Name: import import_project_id_fkey; Type: FK CONSTRAINT; Schema: public; Owner: -
--

ALTER TABLE ONLY public.import
    ADD CONSTRAINT import_project_id_fkey FOREIGN KEY (project_id) REFERENCES public.project(project_id);

--
-- Name: inquiry inquiry_project_id_app_id_fkey; Type: FK CONSTRAINT; Schema: public; Owner: -
--

ALTER TABLE ONLY public.inquiry
    ADD CONSTRAINT inquiry_project_id_app_id_fkey FOREIGN KEY (project_id, app_id) REFERENCES public.app(project_id, app_id) ON DELETE CASCADE;

--
-- Name: line_directory line_directory_project_id_fkey; Type: FK CONSTRAINT; Schema: public; Owner: -
--

ALTER TABLE ONLY public.line_directory
    ADD CONSTRAINT line_directory_project_id_fkey FOREIGN KEY (project_id) REFERENCES public.project(project_id);

--
-- Name: line line_project_id_app_id_fkey; Type: FK CONSTRAINT; Schema: public; Owner: -
--

ALTER TABLE ONLY public.line
    ADD CONSTRAINT line_project_id_app_id_fkey FOREIGN KEY (project_id, app_id) REFERENCES public.app(project_id, app_id);

--
-- Name: line line_project_id_customer_id_fkey; Type: FK CONSTRAINT; Schema: public; Owner: -
--

ALTER TABLE ONLY public.line
    ADD CONSTRAINT line_project_id_customer_id_fkey FOREIGN KEY (project_id, customer_id) REFERENCES public.customer(project_id, customer_id);

--
-- Name: misdelivery misdelivery_project_id_app_id_fkey; Type: FK CONSTRAINT; Schema: public; Owner: -
--

ALTER TABLE ONLY public.misdelivery
    ADD CONSTRAINT misdelivery_project_id_app_id_fkey FOREIGN KEY (project_id, app_id) REFERENCES public.app(project_id, app_id) ON DELETE CASCADE;

--
-- Name: notification notification_project_id_app_id_fkey; Type: FK CONSTRAINT; Schema: public; Owner: -
--

ALTER TABLE ONLY public.notification
    ADD CONSTRAINT notification_project_id_app_id_fkey FOREIGN KEY (project_id, app_id) REFERENCES public.app(project_id, app_id) ON DELETE CASCADE;

--
-- Name: oauth_client oauth_client_project_id_fkey; Type: FK CONSTRAINT; Schema: public; Owner: -
--

ALTER TABLE ONLY public.oauth_client
    ADD CONSTRAINT oauth_client_project_id_fkey FOREIGN KEY (project_id) REFERENCES public.project(project_id);

--
-- Name: oauth_code oauth_code_project_id_grant_id_fkey; Type: FK CONSTRAINT; Schema: public; Owner: -
--

ALTER TABLE ONLY public.oauth_code
    ADD CONSTRAINT oauth_code_project_id_grant_id_fkey FOREIGN KEY (project_id, grant_id) REFERENCES public.oauth_grant(project_id, grant_id) ON DELETE CASCADE;

--
-- Name: oauth_grant oauth_grant_project_id_client_id_fkey; Type: FK CONSTRAINT; Schema: public; Owner: -
--

ALTER TABLE ONLY public.oauth_grant
    ADD CONSTRAINT oauth_grant_project_id_client_id_fkey FOREIGN KEY (project_id, client_id) REFERENCES public.oauth_client(project_id, client_id) ON DELETE CASCADE;

--
-- Name: oauth_token oauth_token_project_id_grant_id_fkey; Type: FK CONSTRAINT; Schema: public; Owner: -
--

ALTER TABLE ONLY public.oauth_token
    ADD CONSTRAINT oauth_token_project_id_grant_id_fkey FOREIGN KEY (project_id, grant_id) REFERENCES public.oauth_grant(project_id, grant_id) ON DELETE CASCADE;

--
-- Name: offering_override offering_override_project_id_customer_id_fkey; Type: FK CONSTRAINT; Schema: public; Owner: -
--

ALTER TABLE ONLY public.offering_override
    ADD CONSTRAINT offering_override_project_id_customer_id_fkey FOREIGN KEY (project_id, customer_id) REFERENCES public.customer(project_id, customer_id) ON DELETE CASCADE;

--
-- Name: offering_override offering_override_project_id_offering_id_fkey; Type: FK CONSTRAINT; Schema: public; Owner: -
--

ALTER TABLE ONLY public.offering_override
    ADD CONSTRAINT offering_override_project_id_offering_id_fkey FOREIGN KEY (project_id, offering_id) REFERENCES public.offering(project_id, offering_id) ON DELETE CASCADE;

--
-- Name: offering offering_project_id_fkey; Type: FK CONSTRAINT; Schema: public; Owner: -
--

ALTER TABLE ONLY public.offering
    ADD CONSTRAINT offering_project_id_fkey FOREIGN KEY (project_id) REFERENCES public.project(project_id);

--
-- Name: package_product package_product_project_id_package_id_fkey; Type: FK CONSTRAINT; Schema: public; Owner: -
--

ALTER TABLE ONLY public.package_product
    ADD CONSTRAINT package_product_project_id_package_id_fkey FOREIGN KEY (project_id, package_id) REFERENCES public.package(project_id, package_id) ON DELETE CASCADE;

--
-- Name: package_product package_product_project_id_product_id_fkey; Type: FK CONSTRAINT; Schema: public; Owner: -
--

ALTER TABLE ONLY public.package_product
    ADD CONSTRAINT package_product_project_id_product_id_fkey FOREIGN KEY (project_id, product_id) REFERENCES public.product(project_id, product_id) ON DELETE CASCADE;

--
-- Name: package package_project_id_offering_id_fkey; Type: FK CONSTRAINT; Schema: public; Owner: -
--

ALTER TABLE ONLY public.package
    ADD CONSTRAINT package_project_id_offering_id_fkey FOREIGN KEY (project_id, offering_id) REFERENCES public.offering(project_id, offering_id) ON DELETE CASCADE;

--
-- Name: placement placement_project_id_fkey; Type: FK CONSTRAINT; Schema: public; Owner: -
--

ALTER TABLE ONLY public.placement
    ADD CONSTRAINT placement_project_id_fkey FOREIGN KEY (project_id) REFERENCES public.project(project_id);

--
-- Name: placement placement_project_id_offering_id_fkey; Type: FK CONSTRAINT; Schema: public; Owner: -
--

ALTER TABLE ONLY public.placement
    ADD CONSTRAINT placement_project_id_offering_id_fkey FOREIGN KEY (project_id, offering_id) REFERENCES public.offering(project_id, offering_id) ON DELETE CASCADE;

--
-- Name: price price_project_id_product_id_fkey; Type: FK CONSTRAINT; Schema: public; Owner: -
--

ALTER TABLE ONLY public.price
    ADD CONSTRAINT price_project_id_product_id_fkey FOREIGN KEY (project_id, product_id) REFERENCES public.product(project_id, product_id) ON DELETE CASCADE;

--
-- Name: product_grant_product product_grant_product_project_id_code_position_fkey; Type: FK CONSTRAINT; Schema: public; Owner: -
--

ALTER TABLE ONLY public.product_grant_product
    ADD CONSTRAINT product_grant_product_project_id_code_position_fkey FOREIGN KEY (project_id, code, "position") REFERENCES public.product_grant(project_id, code, "position") ON DELETE CASCADE;

--
-- Name: product_grant_product product_grant_product_project_id_product_id_fkey; Type: FK CONSTRAINT; Schema: public; Owner: -
--

ALTER TABLE ONLY public.product_grant_product
    ADD CONSTRAINT product_grant_product_project_id_product_id_fkey FOREIGN KEY (project_id, product_id) REFERENCES public.product(project_id, product_id) ON DELETE CASCADE;

--
-- Name: product_grant product_grant_project_id_code_fkey; Type: FK CONSTRAINT; Schema: public; Owner: -
--

ALTER TABLE ONLY public.product_grant
    ADD CONSTRAINT product_grant_project_id_code_fkey FOREIGN KEY (project_id, code) REFERENCES public.virtual_currency(project_id, code) ON DELETE CASCADE;

--
-- Name: product product_project_id_app_id_fkey; Type: FK CONSTRAINT; Schema: public; Owner: -
--

ALTER TABLE ONLY public.product
    ADD CONSTRAINT product_project_id_app_id_fkey FOREIGN KEY (project_id, app_id) REFERENCES public.app(project_id, app_id) ON DELETE CASCADE;

--
-- Name: project project_project_id_fallback_offering_id_fkey; Type: FK CONSTRAINT; Schema: public; Owner: -
--

ALTER TABLE ONLY public.project
    ADD CONSTRAINT project_project_id_fallback_offering_id_fkey FOREIGN KEY (project_id, fallback_offering_id) REFERENCES public.offering(project_id, offering_id) ON DELETE SET NULL (fallback_offering_id);

--
-- Name: purchase purchase_project_id_customer_id_line_id_fkey; Type: FK CONSTRAINT; Schema: public; Owner: -
--

ALTER TABLE ONLY public.purchase
    ADD CONSTRAINT purchase_project_id_customer_id_line_id_fkey FOREIGN KEY (project_id, customer_id, line_id) REFERENCES public.line(project_id, customer_id, line_id) ON UPDATE CASCADE ON DELETE CASCADE;

--
-- Name: redemption redemption_project_id_customer_id_fkey; Type: FK CONSTRAINT; Schema: public; Owner: -
--

ALTER TABLE ONLY public.redemption
    ADD CONSTRAINT redemption_project_id_customer_id_fkey FOREIGN KEY (project_id, customer_id) REFERENCES public.customer(project_id, customer_id) ON DELETE CASCADE;

--
-- Name: renewal renewal_project_id_customer_id_line_id_fkey; Type: FK CONSTRAINT; Schema: public; Owner: -
--

ALTER TABLE ONLY public.renewal
    ADD CONSTRAINT renewal_project_id_customer_id_line_id_fkey FOREIGN KEY (project_id, customer_id, line_id) REFERENCES public.line(project_id, customer_id, line_id) ON UPDATE CASCADE ON DELETE CASCADE;

--
-- Name: sdk_event sdk_event_project_id_fkey; Type: FK CONSTRAINT; Schema: public; Owner: -
--

ALTER TABLE ONLY public.sdk_event
    ADD CONSTRAINT sdk_event_project_id_fkey FOREIGN KEY (project_id) REFERENCES public.project(project_id);

--
-- Name: sdk_event_shelf sdk_event_shelf_project_id_fkey; Type: FK CONSTRAINT; Schema: public; Owner: -
--

ALTER TABLE ONLY public.sdk_event_shelf
    ADD CONSTRAINT sdk_event_shelf_project_id_fkey FOREIGN KEY (project_id) REFERENCES public.project(project_id);

--
-- Name: simulated_play_store simulated_play_store_project_id_app_id_fkey; Type: FK CONSTRAINT; Schema: public; Owner: -
--

ALTER TABLE ONLY public.simulated_play_store
    ADD CONSTRAINT simulated_play_store_project_id_app_id_fkey FOREIGN KEY (project_id, app_id) REFERENCES public.app(project_id, app_id) ON DELETE CASCADE;

--
-- Name: simulated_store simulated_store_project_id_app_id_fkey; Type: FK CONSTRAINT; Schema: public; Owner: -
--

ALTER TABLE ONLY public.simulated_store
    ADD CONSTRAINT simulated_store_project_id_app_id_fkey FOREIGN KEY (project_id, app_id) REFERENCES public.app(project_id, app_id) ON DELETE CASCADE;

--
-- Name: simulated_stripe simulated_stripe_project_id_app_id_fkey; Type: FK CONSTRAINT; Schema: public; Owner: -
--

ALTER TABLE ONLY public.simulated_stripe
    ADD CONSTRAINT simulated_stripe_project_id_app_id_fkey FOREIGN KEY (project_id, app_id) REFERENCES public.app(project_id, app_id) ON DELETE CASCADE;

--
-- Name: simulated_subscription simulated_subscription_project_id_app_id_fkey; Type: FK CONSTRAINT; Schema: public; Owner: -
--

ALTER TABLE ONLY public.simulated_subscription
    ADD CONSTRAINT simulated_subscription_project_id_app_id_fkey FOREIGN KEY (project_id, app_id) REFERENCES public.app(project_id, app_id) ON DELETE CASCADE;

--
-- Name: store_act store_act_project_id_app_id_fkey; Type: FK CONSTRAINT; Schema: public; Owner: -
--

ALTER TABLE ONLY public.store_act
    ADD CONSTRAINT store_act_project_id_app_id_fkey FOREIGN KEY (project_id, app_id) REFERENCES public.app(project_id, app_id) ON DELETE CASCADE;

--
-- Name: support_ticket support_ticket_project_id_customer_id_fkey; Type: FK CONSTRAINT; Schema: public; Owner: -
--

ALTER TABLE ONLY public.support_ticket
    ADD CONSTRAINT support_ticket_project_id_customer_id_fkey FOREIGN KEY (project_id, customer_id) REFERENCES public.customer(project_id, customer_id) ON DELETE CASCADE;

--
-- Name: transfer transfer_project_id_fkey; Type: FK CONSTRAINT; Schema: public; Owner: -
--

ALTER TABLE ONLY public.transfer
    ADD CONSTRAINT transfer_project_id_fkey FOREIGN KEY (project_id) REFERENCES public.project(project_id);

--
-- Name: untold_event untold_event_project_id_customer_id_line_id_fkey; Type: FK CONSTRAINT; Schema: public; Owner: -
--

ALTER TABLE ONLY public.untold_event
    ADD CONSTRAINT untold_event_project_id_customer_id_line_id_fkey FOREIGN KEY (project_id, customer_id, line_id) REFERENCES public.line(project_id, customer_id, line_id) ON UPDATE CASCADE ON DELETE CASCADE;

--
-- Name: virtual_currency virtual_currency_project_id_fkey; Type: FK CONSTRAINT; Schema: public; Owner: -
--

ALTER TABLE ONLY public.virtual_currency
    ADD CONSTRAINT virtual_currency_project_id_fkey FOREIGN KEY (project_id) REFERENCES public.project(project_id);

--
-- Name: ad_reward; Type: ROW SECURITY; Schema: public; Owner: -
--

ALTER TABLE public.ad_reward ENABLE ROW LEVEL SECURITY;

--
-- Name: ad_reward_verification; Type: ROW SECURITY; Schema: public; Owner: -
--

ALTER TABLE public.ad_reward_verification ENABLE ROW LEVEL SECURITY;

--
-- Name: alias; Type: ROW SECURITY; Schema: public; Owner: -
--

ALTER TABLE public.alias ENABLE ROW LEVEL SECURITY;

--
-- Name: api_key; Type: ROW SECURITY; Schema: public; Owner: -
--

ALTER TABLE public.api_key ENABLE ROW LEVEL SECURITY;

--
-- Name: app; Type: ROW SECURITY; Schema: public; Owner: -
--

ALTER TABLE public.app ENABLE ROW LEVEL SECURITY;

--
-- Name: attribute; Type: ROW SECURITY; Schema: public; Owner: -
--

ALTER TABLE public.attribute ENABLE ROW LEVEL SECURITY;

--
-- Name: attribution; Type: ROW SECURITY; Schema: public; Owner: -
--

ALTER TABLE public.attribution ENABLE ROW LEVEL SECURITY;

--
-- Name: audit; Type: ROW SECURITY; Schema: public; Owner: -
--

ALTER TABLE public.audit ENABLE ROW LEVEL SECURITY;

--
-- Name: blocked_customer; Type: ROW SECURITY; Schema: public; Owner: -
--

ALTER TABLE public.blocked_customer ENABLE ROW LEVEL SECURITY;

--
-- Name: bounded_account; Type: ROW SECURITY; Schema: public; Owner: -
--

ALTER TABLE public.bounded_account ENABLE ROW LEVEL SECURITY;

--
-- Name: catch_up; Type: ROW SECURITY; Schema: public; Owner: -
--

ALTER TABLE public.catch_up ENABLE ROW LEVEL SECURITY;

--
-- Name: collaborator; Type: ROW SECURITY; Schema: public; Owner: -
--

ALTER TABLE public.collaborator ENABLE ROW LEVEL SECURITY;

--
-- Name: currency_adjustment; Type: ROW SECURITY; Schema: public; Owner: -
--

ALTER TABLE public.currency_adjustment ENABLE ROW LEVEL SECURITY;

--
-- Name: currency_grant; Type: ROW SECURITY; Schema: public; Owner: -
--

ALTER TABLE public.currency_grant ENABLE ROW LEVEL SECURITY;

--
-- Name: customer; Type: ROW SECURITY; Schema: public; Owner: -
--

ALTER TABLE public.customer ENABLE ROW LEVEL SECURITY;

--
-- Name: customer_center; Type: ROW SECURITY; Schema: public; Owner: -
--

ALTER TABLE public.customer_center ENABLE ROW LEVEL SECURITY;

--
-- Name: customer_document; Type: ROW SECURITY; Schema: public; Owner: -
--

ALTER TABLE public.customer_document ENABLE ROW LEVEL SECURITY;

--
-- Name: deleted_app_user_id; Type: ROW SECURITY; Schema: public; Owner: -
--

ALTER TABLE public.deleted_app_user_id ENABLE ROW LEVEL SECURITY;

--
-- Name: deleted_project; Type: ROW SECURITY; Schema: public; Owner: -
--

ALTER TABLE public.deleted_project ENABLE ROW LEVEL SECURITY;

--
-- Name: delivery; Type: ROW SECURITY; Schema: public; Owner: -
--

ALTER TABLE public.delivery ENABLE ROW LEVEL SECURITY;

--
-- Name: endpoint; Type: ROW SECURITY; Schema: public; Owner: -
--

ALTER TABLE public.endpoint ENABLE ROW LEVEL SECURITY;

--
-- Name: entitlement; Type: ROW SECURITY; Schema: public; Owner: -
--

ALTER TABLE public.entitlement ENABLE ROW LEVEL SECURITY;

--
-- Name: entitlement_product; Type: ROW SECURITY; Schema: public; Owner: -
--

ALTER TABLE public.entitlement_product ENABLE ROW LEVEL SECURITY;

--
-- Name: event; Type: ROW SECURITY; Schema: public; Owner: -
--

ALTER TABLE public.event ENABLE ROW LEVEL SECURITY;

--
-- Name: export; Type: ROW SECURITY; Schema: public; Owner: -
--

ALTER TABLE public.export ENABLE ROW LEVEL SECURITY;

--
-- Name: export_run; Type: ROW SECURITY; Schema: public; Owner: -
--

ALTER TABLE public.export_run ENABLE ROW LEVEL SECURITY;

--
-- Name: external_payment; Type: ROW SECURITY; Schema: public; Owner: -
--

ALTER TABLE public.external_payment ENABLE ROW LEVEL SECURITY;

--
-- Name: idempotent_request; Type: ROW SECURITY; Schema: public; Owner: -
--

ALTER TABLE public.idempotent_request ENABLE ROW LEVEL SECURITY;

--
-- Name: import; Type: ROW SECURITY; Schema: public; Owner: -
--

ALTER TABLE public.import ENABLE ROW LEVEL SECURITY;

--
-- Name: import_batch; Type: ROW SECURITY; Schema: public; Owner: -
--

ALTER TABLE public.import_batch ENABLE ROW LEVEL SECURITY;

--
-- Name: inquiry; Type: ROW SECURITY; Schema: public; Owner: -
--

ALTER TABLE public.inquiry ENABLE ROW LEVEL SECURITY;

--
-- Name: line; Type: ROW SECURITY; Schema: public; Owner: -
--

ALTER TABLE public.line ENABLE ROW LEVEL SECURITY;

--
-- Name: line_directory; Type: ROW SECURITY; Schema: public; Owner: -
--

ALTER TABLE public.line_directory ENABLE ROW LEVEL SECURITY;

--
-- Name: misdelivery; Type: ROW SECURITY; Schema: public; Owner: -
--

ALTER TABLE public.misdelivery ENABLE ROW LEVEL SECURITY;

--
-- Name: notification; Type: ROW SECURITY; Schema: public; Owner: -
--

ALTER TABLE public.notification ENABLE ROW LEVEL SECURITY;

--
-- Name: oauth_client; Type: ROW SECURITY; Schema: public; Owner: -
--

ALTER TABLE public.oauth_client ENABLE ROW LEVEL SECURITY;

--
-- Name: oauth_code; Type: ROW SECURITY; Schema: public; Owner: -
--

ALTER TABLE public.oauth_code ENABLE ROW LEVEL SECURITY;

--
-- Name: oauth_grant; Type: ROW SECURITY; Schema: public; Owner: -
--

ALTER TABLE public.oauth_grant ENABLE ROW LEVEL SECURITY;

--
-- Name: oauth_token; Type: ROW SECURITY; Schema: public; Owner: -
--

ALTER TABLE public.oauth_token ENABLE ROW LEVEL SECURITY;

--
-- Name: offering; Type: ROW SECURITY; Schema: public; Owner: -
--

ALTER TABLE public.offering ENABLE ROW LEVEL SECURITY;

--
-- Name: offering_override; Type: ROW SECURITY; Schema: public; Owner: -
--

ALTER TABLE public.offering_override ENABLE ROW LEVEL SECURITY;

--
-- Name: package; Type: ROW SECURITY; Schema: public; Owner: -
--

ALTER TABLE public.package ENABLE ROW LEVEL SECURITY;

--
-- Name: package_product; Type: ROW SECURITY; Schema: public; Owner: -
--

ALTER TABLE public.package_product ENABLE ROW LEVEL SECURITY;

--
-- Name: placement; Type: ROW SECURITY; Schema: public; Owner: -
--

ALTER TABLE public.placement ENABLE ROW LEVEL SECURITY;

--
-- Name: price; Type: ROW SECURITY; Schema: public; Owner: -
--

ALTER TABLE public.price ENABLE ROW LEVEL SECURITY;

--
-- Name: product; Type: ROW SECURITY; Schema: public; Owner: -
--

ALTER TABLE public.product ENABLE ROW LEVEL SECURITY;

--
-- Name: product_grant; Type: ROW SECURITY; Schema: public; Owner: -
--

ALTER TABLE public.product_grant ENABLE ROW LEVEL SECURITY;

--
-- Name: product_grant_product; Type: ROW SECURITY; Schema: public; Owner: -
--

ALTER TABLE public.product_grant_product ENABLE ROW LEVEL SECURITY;

--
-- Name: project; Type: ROW SECURITY; Schema: public; Owner: -
--

ALTER TABLE public.project ENABLE ROW LEVEL SECURITY;

--
-- Name: purchase; Type: ROW SECURITY; Schema: public; Owner: -
--

ALTER TABLE public.purchase ENABLE ROW LEVEL SECURITY;

--
-- Name: redemption; Type: ROW SECURITY; Schema: public; Owner: -
--

ALTER TABLE public.redemption ENABLE ROW LEVEL SECURITY;

--
-- Name: renewal; Type: ROW SECURITY; Schema: public; Owner: -
--

ALTER TABLE public.renewal ENABLE ROW LEVEL SECURITY;

--
-- Name: sdk_event; Type: ROW SECURITY; Schema: public; Owner: -
--

ALTER TABLE public.sdk_event ENABLE ROW LEVEL SECURITY;

--
-- Name: sdk_event_shelf; Type: ROW SECURITY; Schema: public; Owner: -
--

ALTER TABLE public.sdk_event_shelf ENABLE ROW LEVEL SECURITY;

--
-- Name: simulated_play_store; Type: ROW SECURITY; Schema: public; Owner: -
--

ALTER TABLE public.simulated_play_store ENABLE ROW LEVEL SECURITY;

--
-- Name: simulated_store; Type: ROW SECURITY; Schema: public; Owner: -
--

ALTER TABLE public.simulated_store ENABLE ROW LEVEL SECURITY;

--
-- Name: simulated_stripe; Type: ROW SECURITY; Schema: public; Owner: -
--

ALTER TABLE public.simulated_stripe ENABLE ROW LEVEL SECURITY;

--
-- Name: simulated_subscription; Type: ROW SECURITY; Schema: public; Owner: -
--

ALTER TABLE public.simulated_subscription ENABLE ROW LEVEL SECURITY;

--
-- Name: store_act; Type: ROW SECURITY; Schema: public; Owner: -
--

ALTER TABLE public.store_act ENABLE ROW LEVEL SECURITY;

--
-- Name: support_ticket; Type: ROW SECURITY; Schema: public; Owner: -
--

ALTER TABLE public.support_ticket ENABLE ROW LEVEL SECURITY;

--
-- Name: transfer; Type: ROW SECURITY; Schema: public; Owner: -
--

ALTER TABLE public.transfer ENABLE ROW LEVEL SECURITY;

--
-- Name: unread; Type: ROW SECURITY; Schema: public; Owner: -
--

ALTER TABLE public.unread ENABLE ROW LEVEL SECURITY;

--
-- Name: untold_event; Type: ROW SECURITY; Schema: public; Owner: -
--

ALTER TABLE public.untold_event ENABLE ROW LEVEL SECURITY;

--
-- Name: virtual_currency; Type: ROW SECURITY; Schema: public; Owner: -
--

ALTER TABLE public.virtual_currency ENABLE ROW LEVEL SECURITY;

--
-- Name: ad_reward wall; Type: POLICY; Schema: public; Owner: -
--

CREATE POLICY wall ON public.ad_reward USING ((project_id = ANY (( SELECT string_to_array(current_setting('perennial.projects'::text, true), ','::text) AS string_to_array)::text[])));

--
-- Name: ad_reward_verification wall; Type: POLICY; Schema: public; Owner: -
--

CREATE POLICY wall ON public.ad_reward_verification USING ((project_id = ANY (( SELECT string_to_array(current_setting('perennial.projects'::text, true), ','::text) AS string_to_array)::text[])));

--
-- Name: alias wall; Type: POLICY; Schema: public; Owner: -
--

CREATE POLICY wall ON public.alias USING ((project_id = ANY (( SELECT string_to_array(current_setting('perennial.projects'::text, true), ','::text) AS string_to_array)::text[])));

--
-- Name: api_key wall; Type: POLICY; Schema: public; Owner: -
--

CREATE POLICY wall ON public.api_key USING ((project_id = ANY (( SELECT string_to_array(current_setting('perennial.projects'::text, true), ','::text) AS string_to_array)::text[])));

--
-- Name: app wall; Type: POLICY; Schema: public; Owner: -
--

CREATE POLICY wall ON public.app USING ((project_id = ANY (( SELECT string_to_array(current_setting('perennial.projects'::text, true), ','::text) AS string_to_array)::text[])));

--
-- Name: attribute wall; Type: POLICY; Schema: public; Owner: -
--

CREATE POLICY wall ON public.attribute USING ((project_id = ANY (( SELECT string_to_array(current_setting('perennial.projects'::text, true), ','::text) AS string_to_array)::text[])));

--
-- Name: attribution wall; Type: POLICY; Schema: public; Owner: -
--

CREATE POLICY wall ON public.attribution USING ((project_id = ANY (( SELECT string_to_array(current_setting('perennial.projects'::text, true), ','::text) AS string_to_array)::text[])));

--
-- Name: audit wall; Type: POLICY; Schema: public; Owner: -
--

CREATE POLICY wall ON public.audit USING ((project_id = ANY (( SELECT string_to_array(current_setting('perennial.projects'::text, true), ','::text) AS string_to_array)::text[])));

--
-- Name: blocked_customer wall; Type: POLICY; Schema: public; Owner: -
--

CREATE POLICY wall ON public.blocked_customer USING ((project_id = ANY (( SELECT string_to_array(current_setting('perennial.projects'::text, true), ','::text) AS string_to_array)::text[])));

--
-- Name: bounded_account wall; Type: POLICY; Schema: public; Owner: -
--

CREATE POLICY wall ON public.bounded_account USING ((project_id = ANY (( SELECT string_to_array(current_setting('perennial.projects'::text, true), ','::text) AS string_to_array)::text[])));

--
-- Name: catch_up wall; Type: POLICY; Schema: public; Owner: -
--

CREATE POLICY wall ON public.catch_up USING ((project_id = ANY (( SELECT string_to_array(current_setting('perennial.projects'::text, true), ','::text) AS string_to_array)::text[])));

--
-- Name: collaborator wall; Type: POLICY; Schema: public; Owner: -
--

CREATE POLICY wall ON public.collaborator USING ((project_id = ANY (( SELECT string_to_array(current_setting('perennial.projects'::text, true), ','::text) AS string_to_array)::text[])));

--
-- Name: currency_adjustment wall; Type: POLICY; Schema: public; Owner: -
--

CREATE POLICY wall ON public.currency_adjustment USING ((project_id = ANY (( SELECT string_to_array(current_setting('perennial.projects'::text, true), ','::text) AS string_to_array)::text[])));

--
-- Name: currency_grant wall; Type: POLICY; Schema: public; Owner: -
--

CREATE POLICY wall ON public.currency_grant USING ((project_id = ANY (( SELECT string_to_array(current_setting('perennial.projects'::text, true), ','::text) AS string_to_array)::text[])));

--
-- Name: customer wall; Type: POLICY; Schema: public; Owner: -
--

CREATE POLICY wall ON public.customer USING ((project_id = ANY (( SELECT string_to_array(current_setting('perennial.projects'::text, true), ','::text) AS string_to_array)::text[])));

--
-- Name: customer_center wall; Type: POLICY; Schema: public; Owner: -
--

CREATE POLICY wall ON public.customer_center USING ((project_id = ANY (( SELECT string_to_array(current_setting('perennial.projects'::text, true), ','::text) AS string_to_array)::text[])));

--
-- Name: customer_document wall; Type: POLICY; Schema: public; Owner: -
--

CREATE POLICY wall ON public.customer_document USING ((project_id = ANY (( SELECT string_to_array(current_setting('perennial.projects'::text, true), ','::text) AS string_to_array)::text[])));

--
-- Name: deleted_app_user_id wall; Type: POLICY; Schema: public; Owner: -
--

CREATE POLICY wall ON public.deleted_app_user_id USING ((project_id = ANY (( SELECT string_to_array(current_setting('perennial.projects'::text, true), ','::text) AS string_to_array)::text[])));

--
-- Name: deleted_project wall; Type: POLICY; Schema: public; Owner: -
--

CREATE POLICY wall ON public.deleted_project USING ((project_id = ANY (( SELECT string_to_array(current_setting('perennial.projects'::text, true), ','::text) AS string_to_array)::text[])));

--
-- Name: delivery wall; Type: POLICY; Schema: public; Owner: -
--

CREATE POLICY wall ON public.delivery USING ((project_id = ANY (( SELECT string_to_array(current_setting('perennial.projects'::text, true), ','::text) AS string_to_array)::text[])));

--
-- Name: endpoint wall; Type: POLICY; Schema: public; Owner: -
--

CREATE POLICY wall ON public.endpoint USING ((project_id = ANY (( SELECT string_to_array(current_setting('perennial.projects'::text, true), ','::text) AS string_to_array)::text[])));

--
-- Name: entitlement wall; Type: POLICY; Schema: public; Owner: -
--

CREATE POLICY wall ON public.entitlement USING ((project_id = ANY (( SELECT string_to_array(current_setting('perennial.projects'::text, true), ','::text) AS string_to_array)::text[])));

--
-- Name: entitlement_product wall; Type: POLICY; Schema: public; Owner: -
--

CREATE POLICY wall ON public.entitlement_product USING ((project_id = ANY (( SELECT string_to_array(current_setting('perennial.projects'::text, true), ','::text) AS string_to_array)::text[])));

--
-- Name: event wall; Type: POLICY; Schema: public; Owner: -
--

CREATE POLICY wall ON public.event USING ((project_id = ANY (( SELECT string_to_array(current_setting('perennial.projects'::text, true), ','::text) AS string_to_array)::text[])));

--
-- Name: export wall; Type: POLICY; Schema: public; Owner: -
--

CREATE POLICY wall ON public.export USING ((project_id = ANY (( SELECT string_to_array(current_setting('perennial.projects'::text, true), ','::text) AS string_to_array)::text[])));

--
-- Name: export_run wall; Type: POLICY; Schema: public; Owner: -
--

CREATE POLICY wall ON public.export_run USING ((project_id = ANY (( SELECT string_to_array(current_setting('perennial.projects'::text, true), ','::text) AS string_to_array)::text[])));

--
-- Name: external_payment wall; Type: POLICY; Schema: public; Owner: -
--

CREATE POLICY wall ON public.external_payment USING ((project_id = ANY (( SELECT string_to_array(current_setting('perennial.projects'::text, true), ','::text) AS string_to_array)::text[])));

--
-- Name: idempotent_request wall; Type: POLICY; Schema: public; Owner: -
--

CREATE POLICY wall ON public.idempotent_request USING ((project_id = ANY (( SELECT string_to_array(current_setting('perennial.projects'::text, true), ','::text) AS string_to_array)::text[])));

--
-- Name: import wall; Type: POLICY; Schema: public; Owner: -
--

CREATE POLICY wall ON public.import USING ((project_id = ANY (( SELECT string_to_array(current_setting('perennial.projects'::text, true), ','::text) AS string_to_array)::text[])));

--
-- Name: import_batch wall; Type: POLICY; Schema: public; Owner: -
--

CREATE POLICY wall ON public.import_batch USING ((project_id = ANY (( SELECT string_to_array(current_setting('perennial.projects'::text, true), ','::text) AS string_to_array)::text[])));

--
-- Name: inquiry wall; Type: POLICY; Schema: public; Owner: -
--

CREATE POLICY wall ON public.inquiry USING ((project_id = ANY (( SELECT string_to_array(current_setting('perennial.projects'::text, true), ','::text) AS string_to_array)::text[])));

--
-- Name: line wall; Type: POLICY; Schema: public; Owner: -
--

CREATE POLICY wall ON public.line USING ((project_id = ANY (( SELECT string_to_array(current_setting('perennial.projects'::text, true), ','::text) AS string_to_array)::text[])));

--
-- Name: line_directory wall; Type: POLICY; Schema: public; Owner: -
--

CREATE POLICY wall ON public.line_directory USING ((project_id = ANY (( SELECT string_to_array(current_setting('perennial.projects'::text, true), ','::text) AS string_to_array)::text[])));

--
-- Name: misdelivery wall; Type: POLICY; Schema: public; Owner: -
--

CREATE POLICY wall ON public.misdelivery USING ((project_id = ANY (( SELECT string_to_array(current_setting('perennial.projects'::text, true), ','::text) AS string_to_array)::text[])));

--
-- Name: notification wall; Type: POLICY; Schema: public; Owner: -
--

CREATE POLICY wall ON public.notification USING ((project_id = ANY (( SELECT string_to_array(current_setting('perennial.projects'::text, true), ','::text) AS string_to_array)::text[])));

--
-- Name: oauth_client wall; Type: POLICY; Schema: public; Owner: -
--

CREATE POLICY wall ON public.oauth_client USING ((project_id = ANY (( SELECT string_to_array(current_setting('perennial.projects'::text, true), ','::text) AS string_to_array)::text[])));

--
-- Name: oauth_code wall; Type: POLICY; Schema: public; Owner: -
--

CREATE POLICY wall ON public.oauth_code USING ((project_id = ANY (( SELECT string_to_array(current_setting('perennial.projects'::text, true), ','::text) AS string_to_array)::text[])));

--
-- Name: oauth_grant wall; Type: POLICY; Schema: public; Owner: -
--

CREATE POLICY wall ON public.oauth_grant USING ((project_id = ANY (( SELECT string_to_array(current_setting('perennial.projects'::text, true), ','::text) AS string_to_array)::text[])));

--
-- Name: oauth_token wall; Type: POLICY; Schema: public; Owner: -
--

CREATE POLICY wall ON public.oauth_token USING ((project_id = ANY (( SELECT string_to_array(current_setting('perennial.projects'::text, true), ','::text) AS string_to_array)::text[])));

--
-- Name: offering wall; Type: POLICY; Schema: public; Owner: -
--

CREATE POLICY wall ON public.offering USING ((project_id = ANY (( SELECT string_to_array(current_setting('perennial.projects'::text, true), ','::text) AS string_to_array)::text[])));

--
-- Name: offering_override wall; Type: POLICY; Schema: public; Owner: -
--

CREATE POLICY wall ON public.offering_override USING ((project_id = ANY (( SELECT string_to_array(current_setting('perennial.projects'::text, true), ','::text) AS string_to_array)::text[])));

--
-- Name: package wall; Type: POLICY; Schema: public; Owner: -
--

CREATE POLICY wall ON public.package USING ((project_id = ANY (( SELECT string_to_array(current_setting('perennial.projects'::text, true), ','::text) AS string_to_array)::text[])));

--
-- Name: package_product wall; Type: POLICY; Schema: public; Owner: -
--

CREATE POLICY wall ON public.package_product USING ((project_id = ANY (( SELECT string_to_array(current_setting('perennial.projects'::text, true), ','::text) AS string_to_array)::text[])));

--
-- Name: placement wall; Type: POLICY; Schema: public; Owner: -
--

CREATE POLICY wall ON public.placement USING ((project_id = ANY (( SELECT string_to_array(current_setting('perennial.projects'::text, true), ','::text) AS string_to_array)::text[])));

--
-- Name: price wall; Type: POLICY; Schema: public; Owner: -
--

CREATE POLICY wall ON public.price USING ((project_id = ANY (( SELECT string_to_array(current_setting('perennial.projects'::text, true), ','::text) AS string_to_array)::text[])));

--
-- Name: product wall; Type: POLICY; Schema: public; Owner: -
--

CREATE POLICY wall ON public.product USING ((project_id = ANY (( SELECT string_to_array(current_setting('perennial.projects'::text, true), ','::text) AS string_to_array)::text[])));

--
-- Name: product_grant wall; Type: POLICY; Schema: public; Owner: -
--

CREATE POLICY wall ON public.product_grant USING ((project_id = ANY (( SELECT string_to_array(current_setting('perennial.projects'::text, true), ','::text) AS string_to_array)::text[])));

--
-- Name: product_grant_product wall; Type: POLICY; Schema: public; Owner: -
--

CREATE POLICY wall ON public.product_grant_product USING ((project_id = ANY (( SELECT string_to_array(current_setting('perennial.projects'::text, true), ','::text) AS string_to_array)::text[])));

--
-- Name: project wall; Type: POLICY; Schema: public; Owner: -
--

CREATE POLICY wall ON public.project USING ((project_id = ANY (( SELECT string_to_array(current_setting('perennial.projects'::text, true), ','::text) AS string_to_array)::text[])));

--
-- Name: purchase wall; Type: POLICY; Schema: public; Owner: -
--

CREATE POLICY wall ON public.purchase USING ((project_id = ANY (( SELECT string_to_array(current_setting('perennial.projects'::text, true), ','::text) AS string_to_array)::text[])));

--
-- Name: redemption wall; Type: POLICY; Schema: public; Owner: -
--

CREATE POLICY wall ON public.redemption USING ((project_id = ANY (( SELECT string_to_array(current_setting('perennial.projects'::text, true), ','::text) AS string_to_array)::text[])));

--
-- Name: renewal wall; Type: POLICY; Schema: public; Owner: -
--

CREATE POLICY wall ON public.renewal USING ((project_id = ANY (( SELECT string_to_array(current_setting('perennial.projects'::text, true), ','::text) AS string_to_array)::text[])));

--
-- Name: sdk_event wall; Type: POLICY; Schema: public; Owner: -
--

CREATE POLICY wall ON public.sdk_event USING ((project_id = ANY (( SELECT string_to_array(current_setting('perennial.projects'::text, true), ','::text) AS string_to_array)::text[])));

--
-- Name: sdk_event_shelf wall; Type: POLICY; Schema: public; Owner: -
--

CREATE POLICY wall ON public.sdk_event_shelf USING ((project_id = ANY (( SELECT string_to_array(current_setting('perennial.projects'::text, true), ','::text) AS string_to_array)::text[])));

--
-- Name: simulated_play_store wall; Type: POLICY; Schema: public; Owner: -
--

CREATE POLICY wall ON public.simulated_play_store USING ((project_id = ANY (( SELECT string_to_array(current_setting('perennial.projects'::text, true), ','::text) AS string_to_array)::text[])));

--
-- Name: simulated_store wall; Type: POLICY; Schema: public; Owner: -
--

CREATE POLICY wall ON public.simulated_store USING ((project_id = ANY (( SELECT string_to_array(current_setting('perennial.projects'::text, true), ','::text) AS string_to_array)::text[])));

--
-- Name: simulated_stripe wall; Type: POLICY; Schema: public; Owner: -
--

CREATE POLICY wall ON public.simulated_stripe USING ((project_id = ANY (( SELECT string_to_array(current_setting('perennial.projects'::text, true), ','::text) AS string_to_array)::text[])));

--
-- Name: simulated_subscription wall; Type: POLICY; Schema: public; Owner: -
--

CREATE POLICY wall ON public.simulated_subscription USING ((project_id = ANY (( SELECT string_to_array(current_setting('perennial.projects'::text, true), ','::text) AS string_to_array)::text[])));

--
-- Name: store_act wall; Type: POLICY; Schema: public; Owner: -
--

CREATE POLICY wall ON public.store_act USING ((project_id = ANY (( SELECT string_to_array(current_setting('perennial.projects'::text, true), ','::text) AS string_to_array)::text[])));

--
-- Name: support_ticket wall; Type: POLICY; Schema: public; Owner: -
--

CREATE POLICY wall ON public.support_ticket USING ((project_id = ANY (( SELECT string_to_array(current_setting('perennial.projects'::text, true), ','::text) AS string_to_array)::text[])));

--
-- Name: transfer wall; Type: POLICY; Schema: public; Owner: -
--

CREATE POLICY wall ON public.transfer USING ((project_id = ANY (( SELECT string_to_array(current_setting('perennial.projects'::text, true), ','::text) AS string_to_array)::text[])));

--
-- Name: unread wall; Type: POLICY; Schema: public; Owner: -
--

CREATE POLICY wall ON public.unread USING ((project_id = ANY (( SELECT string_to_array(current_setting('perennial.projects'::text, true), ','::text) AS string_to_array)::text[])));

--
-- Name: untold_event wall; Type: POLICY; Schema: public; Owner: -
--

CREATE POLICY wall ON public.untold_event USING ((project_id = ANY (( SELECT string_to_array(current_setting('perennial.projects'::text, true), ','::text) AS string_to_array)::text[])));

--
-- Name: virtual_currency wall; Type: POLICY; Schema: public; Owner: -
--

CREATE POLICY wall ON public.virtual_currency USING ((project_id = ANY (( SELECT string_to_array(current_setting('perennial.projects'::text, true), ','::text) AS string_to_array)::text[])));

--
-- Name: SCHEMA public; Type: ACL; Schema: -; Owner: -
--

GRANT USAGE ON SCHEMA public TO perennial_app;

--
-- Name: TABLE project; Type: ACL; Schema: public; Owner: -
--

GRANT SELECT,INSERT,DELETE,UPDATE ON TABLE public.project TO perennial_app;

--
-- Name: FUNCTION all_projects(); Type: ACL; Schema: public; Owner: -
--

REVOKE ALL ON FUNCTION public.all_projects() FROM PUBLIC;
GRANT ALL ON FUNCTION public.all_projects() TO perennial_app;

--
-- Name: FUNCTION applied_migrations(); Type: ACL; Schema: public; Owner: -
--

REVOKE ALL ON FUNCTION public.applied_migrations() FROM PUBLIC;
GRANT ALL ON FUNCTION public.applied_migrations() TO perennial_app;

--
-- Name: FUNCTION bring_back(wanted_kind text, furthest interval, wall timestamp with time zone); Type: ACL; Schema: public; Owner: -
--

REVOKE ALL ON FUNCTION public.bring_back(wanted_kind text, furthest interval, wall timestamp with time zone) FROM PUBLIC;
GRANT ALL ON FUNCTION public.bring_back(wanted_kind text, furthest interval, wall timestamp with time zone) TO perennial_app;

--
-- Name: FUNCTION delete_of_project(most integer); Type: ACL; Schema: public; Owner: -
--

REVOKE ALL ON FUNCTION public.delete_of_project(most integer) FROM PUBLIC;
GRANT ALL ON FUNCTION public.delete_of_project(most integer) TO perennial_app;

--
-- Name: FUNCTION deleted_projects(); Type: ACL; Schema: public; Owner: -
--

REVOKE ALL ON FUNCTION public.deleted_projects() FROM PUBLIC;
GRANT ALL ON FUNCTION public.deleted_projects() TO perennial_app;

--
-- Name: FUNCTION due_endpoints(wall timestamp with time zone, busy_endpoints text[], busy_projects text[], after_project text, after_endpoint text, most integer); Type: ACL; Schema: public; Owner: -
--

REVOKE ALL ON FUNCTION public.due_endpoints(wall timestamp with time zone, busy_endpoints text[], busy_projects text[], after_project text, after_endpoint text, most integer) FROM PUBLIC;
GRANT ALL ON FUNCTION public.due_endpoints(wall timestamp with time zone, busy_endpoints text[], busy_projects text[], after_project text, after_endpoint text, most integer) TO perennial_app;

--
-- Name: FUNCTION due_projects(wanted_lane text, wall timestamp with time zone, most integer); Type: ACL; Schema: public; Owner: -
--

REVOKE ALL ON FUNCTION public.due_projects(wanted_lane text, wall timestamp with time zone, most integer) FROM PUBLIC;
GRANT ALL ON FUNCTION public.due_projects(wanted_lane text, wall timestamp with time zone, most integer) TO perennial_app;

--
-- Name: FUNCTION due_projects_of(wanted_kinds text[], wall timestamp with time zone, after_project text, most integer); Type: ACL; Schema: public; Owner: -
--

REVOKE ALL ON FUNCTION public.due_projects_of(wanted_kinds text[], wall timestamp with time zone, after_project text, most integer) FROM PUBLIC;
GRANT ALL ON FUNCTION public.due_projects_of(wanted_kinds text[], wall timestamp with time zone, after_project text, most integer) TO perennial_app;

--
-- Name: FUNCTION enter(projects text[], wall timestamp with time zone); Type: ACL; Schema: public; Owner: -
--

REVOKE ALL ON FUNCTION public.enter(projects text[], wall timestamp with time zone) FROM PUBLIC;
GRANT ALL ON FUNCTION public.enter(projects text[], wall timestamp with time zone) TO perennial_app;

--
-- Name: FUNCTION find_access_token(wanted bytea, wall timestamp with time zone); Type: ACL; Schema: public; Owner: -
--

REVOKE ALL ON FUNCTION public.find_access_token(wanted bytea, wall timestamp with time zone) FROM PUBLIC;
GRANT ALL ON FUNCTION public.find_access_token(wanted bytea, wall timestamp with time zone) TO perennial_app;

--
-- Name: FUNCTION find_installation_secret(wanted text); Type: ACL; Schema: public; Owner: -
--

REVOKE ALL ON FUNCTION public.find_installation_secret(wanted text) FROM PUBLIC;
GRANT ALL ON FUNCTION public.find_installation_secret(wanted text) TO perennial_app;

--
-- Name: FUNCTION find_keys(hashes bytea[]); Type: ACL; Schema: public; Owner: -
--

REVOKE ALL ON FUNCTION public.find_keys(hashes bytea[]) FROM PUBLIC;
GRANT ALL ON FUNCTION public.find_keys(hashes bytea[]) TO perennial_app;

--
-- Name: FUNCTION forget_installation_secrets(); Type: ACL; Schema: public; Owner: -
--

REVOKE ALL ON FUNCTION public.forget_installation_secrets() FROM PUBLIC;
GRANT ALL ON FUNCTION public.forget_installation_secrets() TO perennial_app;

--
-- Name: FUNCTION keep_installation_secret(wanted text, offered bytea, wall timestamp with time zone); Type: ACL; Schema: public; Owner: -
--

REVOKE ALL ON FUNCTION public.keep_installation_secret(wanted text, offered bytea, wall timestamp with time zone) FROM PUBLIC;
GRANT ALL ON FUNCTION public.keep_installation_secret(wanted text, offered bytea, wall timestamp with time zone) TO perennial_app;

--
-- Name: FUNCTION project_now(clock_at timestamp with time zone, clock_started_at timestamp with time zone, wall timestamp with time zone); Type: ACL; Schema: public; Owner: -
--

REVOKE ALL ON FUNCTION public.project_now(clock_at timestamp with time zone, clock_started_at timestamp with time zone, wall timestamp with time zone) FROM PUBLIC;
GRANT ALL ON FUNCTION public.project_now(clock_at timestamp with time zone, clock_started_at timestamp with time zone, wall timestamp with time zone) TO perennial_app;

--
-- Name: FUNCTION project_of_app(wanted text); Type: ACL; Schema: public; Owner: -
--

REVOKE ALL ON FUNCTION public.project_of_app(wanted text) FROM PUBLIC;
GRANT ALL ON FUNCTION public.project_of_app(wanted text) TO perennial_app;

--
-- Name: FUNCTION project_of_oauth_client(wanted text); Type: ACL; Schema: public; Owner: -
--

REVOKE ALL ON FUNCTION public.project_of_oauth_client(wanted text) FROM PUBLIC;
GRANT ALL ON FUNCTION public.project_of_oauth_client(wanted text) TO perennial_app;

--
-- Name: FUNCTION project_of_oauth_secret(wanted bytea); Type: ACL; Schema: public; Owner: -
--

REVOKE ALL ON FUNCTION public.project_of_oauth_secret(wanted bytea) FROM PUBLIC;
GRANT ALL ON FUNCTION public.project_of_oauth_secret(wanted bytea) TO perennial_app;

--
-- Name: FUNCTION projects_of(wanted text[], after text, most integer); Type: ACL; Schema: public; Owner: -
--

REVOKE ALL ON FUNCTION public.projects_of(wanted text[], after text, most integer) FROM PUBLIC;
GRANT ALL ON FUNCTION public.projects_of(wanted text[], after text, most integer) TO perennial_app;

--
-- Name: FUNCTION save_sightings(projects text[], customers text[], seen_at timestamp with time zone[], platforms text[], platform_versions text[], app_versions text[], countries text[], lately interval); Type: ACL; Schema: public; Owner: -
--

REVOKE ALL ON FUNCTION public.save_sightings(projects text[], customers text[], seen_at timestamp with time zone[], platforms text[], platform_versions text[], app_versions text[], countries text[], lately interval) FROM PUBLIC;
GRANT ALL ON FUNCTION public.save_sightings(projects text[], customers text[], seen_at timestamp with time zone[], platforms text[], platform_versions text[], app_versions text[], countries text[], lately interval) TO perennial_app;

--
-- Name: FUNCTION troubles(since timestamp with time zone); Type: ACL; Schema: public; Owner: -
--

REVOKE ALL ON FUNCTION public.troubles(since timestamp with time zone) FROM PUBLIC;
GRANT ALL ON FUNCTION public.troubles(since timestamp with time zone) TO perennial_app;

--
-- Name: TABLE ad_reward; Type: ACL; Schema: public; Owner: -
--

GRANT SELECT,INSERT,DELETE,UPDATE ON TABLE public.ad_reward TO perennial_app;

--
-- Name: TABLE ad_reward_verification; Type: ACL; Schema: public; Owner: -
--

GRANT SELECT,INSERT,DELETE,UPDATE ON TABLE public.ad_reward_verification TO perennial_app;

--
-- Name: TABLE currency_grant; Type: ACL; Schema: public; Owner: -
--

GRANT SELECT,INSERT,DELETE,UPDATE ON TABLE public.currency_grant TO perennial_app;

--
-- Name: TABLE delivery; Type: ACL; Schema: public; Owner: -
--

GRANT SELECT,INSERT,DELETE,UPDATE ON TABLE public.delivery TO perennial_app;

--
-- Name: TABLE export; Type: ACL; Schema: public; Owner: -
--

GRANT SELECT,INSERT,DELETE,UPDATE ON TABLE public.export TO perennial_app;

--
-- Name: TABLE idempotent_request; Type: ACL; Schema: public; Owner: -
--

GRANT SELECT,INSERT,DELETE,UPDATE ON TABLE public.idempotent_request TO perennial_app;

--
-- Name: TABLE inquiry; Type: ACL; Schema: public; Owner: -
--

GRANT SELECT,INSERT,DELETE,UPDATE ON TABLE public.inquiry TO perennial_app;

--
-- Name: TABLE line; Type: ACL; Schema: public; Owner: -
--

GRANT SELECT,INSERT,DELETE,UPDATE ON TABLE public.line TO perennial_app;

--
-- Name: TABLE notification; Type: ACL; Schema: public; Owner: -
--

GRANT SELECT,INSERT,DELETE,UPDATE ON TABLE public.notification TO perennial_app;

--
-- Name: TABLE sdk_event_shelf; Type: ACL; Schema: public; Owner: -
--

GRANT SELECT,INSERT,DELETE,UPDATE ON TABLE public.sdk_event_shelf TO perennial_app;

--
-- Name: TABLE simulated_play_store; Type: ACL; Schema: public; Owner: -
--

GRANT SELECT,INSERT,DELETE,UPDATE ON TABLE public.simulated_play_store TO perennial_app;

--
-- Name: TABLE simulated_stripe; Type: ACL; Schema: public; Owner: -
--

GRANT SELECT,INSERT,DELETE,UPDATE ON TABLE public.simulated_stripe TO perennial_app;

--
-- Name: TABLE simulated_subscription; Type: ACL; Schema: public; Owner: -
--

GRANT SELECT,INSERT,DELETE,UPDATE ON TABLE public.simulated_subscription TO perennial_app;

--
-- Name: TABLE store_act; Type: ACL; Schema: public; Owner: -
--

GRANT SELECT,INSERT,DELETE,UPDATE ON TABLE public.store_act TO perennial_app;

--
-- Name: TABLE agenda; Type: ACL; Schema: public; Owner: -
--

GRANT SELECT ON TABLE public.agenda TO perennial_app;

--
-- Name: TABLE alias; Type: ACL; Schema: public; Owner: -
--

GRANT SELECT,INSERT,DELETE,UPDATE ON TABLE public.alias TO perennial_app;

--
-- Name: TABLE api_key; Type: ACL; Schema: public; Owner: -
--

GRANT SELECT,INSERT,DELETE,UPDATE ON TABLE public.api_key TO perennial_app;

--
-- Name: TABLE app; Type: ACL; Schema: public; Owner: -
--

GRANT SELECT,INSERT,DELETE,UPDATE ON TABLE public.app TO perennial_app;

--
-- Name: TABLE attribute; Type: ACL; Schema: public; Owner: -
--

GRANT SELECT,INSERT,DELETE,UPDATE ON TABLE public.attribute TO perennial_app;

--
-- Name: TABLE attribution; Type: ACL; Schema: public; Owner: -
--

GRANT SELECT,INSERT,DELETE,UPDATE ON TABLE public.attribution TO perennial_app;

--
-- Name: TABLE audit; Type: ACL; Schema: public; Owner: -
--

GRANT SELECT,INSERT,DELETE,UPDATE ON TABLE public.audit TO perennial_app;

--
-- Name: TABLE blocked_customer; Type: ACL; Schema: public; Owner: -
--

GRANT SELECT,INSERT,DELETE,UPDATE ON TABLE public.blocked_customer TO perennial_app;

--
-- Name: TABLE bounded_account; Type: ACL; Schema: public; Owner: -
--

GRANT SELECT,INSERT,DELETE,UPDATE ON TABLE public.bounded_account TO perennial_app;

--
-- Name: TABLE catch_up; Type: ACL; Schema: public; Owner: -
--

GRANT SELECT,INSERT,DELETE,UPDATE ON TABLE public.catch_up TO perennial_app;

--
-- Name: TABLE collaborator; Type: ACL; Schema: public; Owner: -
--

GRANT SELECT,INSERT,DELETE,UPDATE ON TABLE public.collaborator TO perennial_app;

--
-- Name: TABLE currency_adjustment; Type: ACL; Schema: public; Owner: -
--

GRANT SELECT,INSERT,DELETE,UPDATE ON TABLE public.currency_adjustment TO perennial_app;

--
-- Name: TABLE customer; Type: ACL; Schema: public; Owner: -
--

GRANT SELECT,INSERT,DELETE,UPDATE ON TABLE public.customer TO perennial_app;

--
-- Name: TABLE customer_center; Type: ACL; Schema: public; Owner: -
--

GRANT SELECT,INSERT,DELETE,UPDATE ON TABLE public.customer_center TO perennial_app;

--
-- Name: TABLE customer_document; Type: ACL; Schema: public; Owner: -
--

GRANT SELECT,INSERT,DELETE,UPDATE ON TABLE public.customer_document TO perennial_app;

--
-- Name: TABLE deleted_app_user_id; Type: ACL; Schema: public; Owner: -
--

GRANT SELECT,INSERT,DELETE,UPDATE ON TABLE public.deleted_app_user_id TO perennial_app;

--
-- Name: TABLE deleted_project; Type: ACL; Schema: public; Owner: -
--

GRANT SELECT,INSERT,DELETE,UPDATE ON TABLE public.deleted_project TO perennial_app;

--
-- Name: TABLE endpoint; Type: ACL; Schema: public; Owner: -
--

GRANT SELECT,INSERT,DELETE,UPDATE ON TABLE public.endpoint TO perennial_app;

--
-- Name: TABLE entitlement; Type: ACL; Schema: public; Owner: -
--

GRANT SELECT,INSERT,DELETE,UPDATE ON TABLE public.entitlement TO perennial_app;

--
-- Name: TABLE entitlement_product; Type: ACL; Schema: public; Owner: -
--

GRANT SELECT,INSERT,DELETE,UPDATE ON TABLE public.entitlement_product TO perennial_app;

--
-- Name: TABLE event; Type: ACL; Schema: public; Owner: -
--

GRANT SELECT,INSERT,DELETE,UPDATE ON TABLE public.event TO perennial_app;

--
-- Name: TABLE export_run; Type: ACL; Schema: public; Owner: -
--

GRANT SELECT,INSERT,DELETE,UPDATE ON TABLE public.export_run TO perennial_app;

--
-- Name: TABLE external_payment; Type: ACL; Schema: public; Owner: -
--

GRANT SELECT,INSERT,DELETE,UPDATE ON TABLE public.external_payment TO perennial_app;

--
-- Name: TABLE import; Type: ACL; Schema: public; Owner: -
--

GRANT SELECT,INSERT,DELETE,UPDATE ON TABLE public.import TO perennial_app;

--
-- Name: TABLE import_batch; Type: ACL; Schema: public; Owner: -
--

GRANT SELECT,INSERT,DELETE,UPDATE ON TABLE public.import_batch TO perennial_app;

--
-- Name: TABLE line_directory; Type: ACL; Schema: public; Owner: -
--

GRANT SELECT,INSERT,DELETE,UPDATE ON TABLE public.line_directory TO perennial_app;

--
-- Name: TABLE misdelivery; Type: ACL; Schema: public; Owner: -
--

GRANT SELECT,INSERT,DELETE,UPDATE ON TABLE public.misdelivery TO perennial_app;

--
-- Name: TABLE oauth_client; Type: ACL; Schema: public; Owner: -
--

GRANT SELECT,INSERT,DELETE,UPDATE ON TABLE public.oauth_client TO perennial_app;

--
-- Name: TABLE oauth_code; Type: ACL; Schema: public; Owner: -
--

GRANT SELECT,INSERT,DELETE,UPDATE ON TABLE public.oauth_code TO perennial_app;

--
-- Name: TABLE oauth_grant; Type: ACL; Schema: public; Owner: -
--

GRANT SELECT,INSERT,DELETE,UPDATE ON TABLE public.oauth_grant TO perennial_app;

--
-- Name: TABLE oauth_token; Type: ACL; Schema: public; Owner: -
--

GRANT SELECT,INSERT,DELETE,UPDATE ON TABLE public.oauth_token TO perennial_app;

--
-- Name: TABLE offering; Type: ACL; Schema: public; Owner: -
--

GRANT SELECT,INSERT,DELETE,UPDATE ON TABLE public.offering TO perennial_app;

--
-- Name: TABLE offering_override; Type: ACL; Schema: public; Owner: -
--

GRANT SELECT,INSERT,DELETE,UPDATE ON TABLE public.offering_override TO perennial_app;

--
-- Name: TABLE package; Type: ACL; Schema: public; Owner: -
--

GRANT SELECT,INSERT,DELETE,UPDATE ON TABLE public.package TO perennial_app;

--
-- Name: TABLE package_product; Type: ACL; Schema: public; Owner: -
--

GRANT SELECT,INSERT,DELETE,UPDATE ON TABLE public.package_product TO perennial_app;

--
-- Name: TABLE placement; Type: ACL; Schema: public; Owner: -
--

GRANT SELECT,INSERT,DELETE,UPDATE ON TABLE public.placement TO perennial_app;

--
-- Name: TABLE price; Type: ACL; Schema: public; Owner: -
--

GRANT SELECT,INSERT,DELETE,UPDATE ON TABLE public.price TO perennial_app;

--
-- Name: TABLE product; Type: ACL; Schema: public; Owner: -
--

GRANT SELECT,INSERT,DELETE,UPDATE ON TABLE public.product TO perennial_app;

--
-- Name: TABLE product_grant; Type: ACL; Schema: public; Owner: -
--

GRANT SELECT,INSERT,DELETE,UPDATE ON TABLE public.product_grant TO perennial_app;

--
-- Name: TABLE product_grant_product; Type: ACL; Schema: public; Owner: -
--

GRANT SELECT,INSERT,DELETE,UPDATE ON TABLE public.product_grant_product TO perennial_app;

--
-- Name: TABLE purchase; Type: ACL; Schema: public; Owner: -
--

GRANT SELECT,INSERT,DELETE,UPDATE ON TABLE public.purchase TO perennial_app;

--
-- Name: TABLE redemption; Type: ACL; Schema: public; Owner: -
--

GRANT SELECT,INSERT,DELETE,UPDATE ON TABLE public.redemption TO perennial_app;

--
-- Name: TABLE renewal; Type: ACL; Schema: public; Owner: -
--

GRANT SELECT,INSERT,DELETE,UPDATE ON TABLE public.renewal TO perennial_app;

--
-- Name: TABLE schema_migration; Type: ACL; Schema: public; Owner: -
--

GRANT SELECT ON TABLE public.schema_migration TO perennial_app;

--
-- Name: TABLE sdk_event; Type: ACL; Schema: public; Owner: -
--

GRANT SELECT,INSERT,DELETE,UPDATE ON TABLE public.sdk_event TO perennial_app;

--
-- Name: TABLE simulated_store; Type: ACL; Schema: public; Owner: -
--

GRANT SELECT,INSERT,DELETE,UPDATE ON TABLE public.simulated_store TO perennial_app;

--
-- Name: TABLE support_ticket; Type: ACL; Schema: public; Owner: -
--

GRANT SELECT,INSERT,DELETE,UPDATE ON TABLE public.support_ticket TO perennial_app;

--
-- Name: TABLE transfer; Type: ACL; Schema: public; Owner: -
--

GRANT SELECT,INSERT ON TABLE public.transfer TO perennial_app;

--
-- Name: TABLE unread; Type: ACL; Schema: public; Owner: -
--

GRANT SELECT,INSERT,DELETE,UPDATE ON TABLE public.unread TO perennial_app;

--
-- Name: TABLE untold_event; Type: ACL; Schema: public; Owner: -
--

GRANT SELECT,INSERT,DELETE,UPDATE ON TABLE public.untold_event TO perennial_app;

--
-- Name: TABLE virtual_currency; Type: ACL; Schema: public; Owner: -
--

GRANT SELECT,INSERT,DELETE,UPDATE ON TABLE public.virtual_currency TO perennial_app;

--
-- PostgreSQL database dump complete
--
