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
-- Name: find_keys(bytea[]); Type: FUNCTION; Schema: public; Owner: -
--

CREATE FUNCTION public.find_keys(hashes bytea[]) RETURNS TABLE(hash bytea, project_id text, key_id text, kind text, app_id text, store text, reaches text[])
    LANGUAGE plpgsql STABLE SECURITY DEFINER
    SET search_path TO 'public', 'pg_temp'
    AS $$
#variable_conflict use_column
BEGIN
  RETURN QUERY
    SELECT k.hash, k.project_id, k.key_id, k.kind, k.app_id, a.store, k.reaches
    FROM api_key k LEFT JOIN app a ON a.project_id = k.project_id AND a.app_id = k.app_id
    WHERE k.hash = ANY (hashes) AND k.revoked_at IS NULL;
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
-- Name: read_customers(bytea[], text[]); Type: FUNCTION; Schema: public; Owner: -
--

CREATE FUNCTION public.read_customers(hashes bytea[], app_user_ids text[]) RETURNS TABLE(place bigint, project_id text, kind text, clock_at timestamp with time zone, clock_started_at timestamp with time zone, customer_id text, fresh_until timestamp with time zone, body bytea, last_seen_at timestamp with time zone)
    LANGUAGE plpgsql STABLE SECURITY DEFINER
    SET search_path TO 'public', 'pg_temp'
    AS $$
#variable_conflict use_column
BEGIN
  RETURN QUERY
    SELECT r.place, k.project_id, k.kind, p.clock_at, p.clock_started_at, a.customer_id, d.fresh_until, d.body, c.last_seen_at
    FROM unnest(hashes, app_user_ids) WITH ORDINALITY AS r (hash, app_user_id, place)
    JOIN api_key k ON k.hash = r.hash AND k.revoked_at IS NULL
    JOIN project p ON p.project_id = k.project_id
    LEFT JOIN alias a ON a.project_id = k.project_id AND a.app_user_id = r.app_user_id
    LEFT JOIN customer c ON c.project_id = a.project_id AND c.customer_id = a.customer_id
    LEFT JOIN customer_document d
      ON d.project_id = c.project_id AND d.customer_id = c.customer_id AND d.version = c.version AND d.catalog_version = p.catalog_version;
END $$;

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
    CONSTRAINT delivery_check CHECK (((wake_at IS NULL) OR ((delivered_at IS NULL) AND (parked_at IS NULL))))
);

--
-- Name: inquiry; Type: TABLE; Schema: public; Owner: -
--

CREATE TABLE public.inquiry (
    project_id text NOT NULL,
    app_id text NOT NULL,
    environment text NOT NULL,
    store_line text NOT NULL,
    reason text NOT NULL,
    attempts integer DEFAULT 0 NOT NULL,
    wake_at timestamp with time zone,
    last_error text,
    CONSTRAINT inquiry_environment_check CHECK ((environment = ANY (ARRAY['production'::text, 'sandbox'::text])))
);

--
-- Name: line; Type: TABLE; Schema: public; Owner: -
--

CREATE TABLE public.line (
    project_id text NOT NULL,
    customer_id text NOT NULL,
    line_id text NOT NULL,
    app_id text NOT NULL,
    store text NOT NULL,
    environment text NOT NULL,
    store_line text NOT NULL,
    told_auto_renew boolean DEFAULT true NOT NULL,
    told_next_product text,
    heard_at timestamp with time zone NOT NULL,
    wake_at timestamp with time zone,
    CONSTRAINT line_environment_check CHECK ((environment = ANY (ARRAY['production'::text, 'sandbox'::text])))
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
 SELECT delivery.project_id,
    'telling'::text AS lane,
    'delivery'::text AS kind,
    delivery.wake_at
   FROM public.delivery
  WHERE (delivery.wake_at IS NOT NULL)
UNION ALL
 SELECT simulated_subscription.project_id,
    'simulation'::text AS lane,
    'simulated_subscription'::text AS kind,
    simulated_subscription.wake_at
   FROM public.simulated_subscription
  WHERE (simulated_subscription.wake_at IS NOT NULL);

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
    CONSTRAINT api_key_check CHECK (((kind = 'public'::text) = (app_id IS NOT NULL))),
    CONSTRAINT api_key_check1 CHECK (((kind = 'public'::text) = (public_key IS NOT NULL))),
    CONSTRAINT api_key_kind_check CHECK ((kind = ANY (ARRAY['public'::text, 'secret'::text])))
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
    created_at timestamp with time zone NOT NULL
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
    merged_into text
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
-- Name: endpoint; Type: TABLE; Schema: public; Owner: -
--

CREATE TABLE public.endpoint (
    project_id text NOT NULL,
    endpoint_id text NOT NULL,
    name text NOT NULL,
    url text NOT NULL,
    authorization_header bytea,
    signing_secret bytea NOT NULL,
    environment text,
    app_id text,
    event_types text[],
    created_at timestamp with time zone NOT NULL,
    last_success_at timestamp with time zone,
    last_failure_at timestamp with time zone,
    last_error text,
    failures integer DEFAULT 0 NOT NULL,
    CONSTRAINT endpoint_environment_check CHECK ((environment = ANY (ARRAY['production'::text, 'sandbox'::text])))
);

--
-- Name: entitlement; Type: TABLE; Schema: public; Owner: -
--

CREATE TABLE public.entitlement (
    project_id text NOT NULL,
    entitlement_id text NOT NULL,
    lookup_key text NOT NULL,
    display_name text NOT NULL,
    created_at timestamp with time zone NOT NULL
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
-- Name: offering; Type: TABLE; Schema: public; Owner: -
--

CREATE TABLE public.offering (
    project_id text NOT NULL,
    offering_id text NOT NULL,
    lookup_key text NOT NULL,
    display_name text NOT NULL,
    metadata jsonb,
    is_current boolean DEFAULT false NOT NULL,
    created_at timestamp with time zone NOT NULL
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
    CONSTRAINT product_type_check CHECK ((type = ANY (ARRAY['subscription'::text, 'one_time'::text, 'consumable'::text, 'non_consumable'::text, 'non_renewing_subscription'::text])))
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
    CONSTRAINT purchase_check CHECK (((price_amount IS NULL) = (price_currency IS NULL))),
    CONSTRAINT purchase_check1 CHECK ((((revoked_at IS NULL) = (revoked_refunded IS NULL)) AND ((revoked_at IS NULL) = (revoked_share_ppm IS NULL)))),
    CONSTRAINT purchase_check2 CHECK (((offer_kind IS NOT NULL) OR (offer_identifier IS NULL))),
    CONSTRAINT purchase_kind_check CHECK ((kind = ANY (ARRAY['subscription'::text, 'consumable'::text, 'non_consumable'::text, 'non_renewing'::text]))),
    CONSTRAINT purchase_ownership_check CHECK ((ownership = ANY (ARRAY['purchased'::text, 'family_shared'::text]))),
    CONSTRAINT purchase_period_type_check CHECK ((period_type = ANY (ARRAY['normal'::text, 'intro'::text, 'trial'::text]))),
    CONSTRAINT purchase_revoked_share_ppm_check CHECK (((revoked_share_ppm >= 0) AND (revoked_share_ppm <= 1000000)))
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
-- Name: simulated_store; Type: TABLE; Schema: public; Owner: -
--

CREATE TABLE public.simulated_store (
    project_id text NOT NULL,
    app_id text NOT NULL,
    pen bytea NOT NULL,
    root bytea NOT NULL
);

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
-- Name: audit audit_pkey; Type: CONSTRAINT; Schema: public; Owner: -
--

ALTER TABLE ONLY public.audit
    ADD CONSTRAINT audit_pkey PRIMARY KEY (project_id, audit_id);

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
-- Name: inquiry inquiry_pkey; Type: CONSTRAINT; Schema: public; Owner: -
--

ALTER TABLE ONLY public.inquiry
    ADD CONSTRAINT inquiry_pkey PRIMARY KEY (project_id, app_id, environment, store_line);

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
-- Name: notification notification_pkey; Type: CONSTRAINT; Schema: public; Owner: -
--

ALTER TABLE ONLY public.notification
    ADD CONSTRAINT notification_pkey PRIMARY KEY (project_id, app_id, message_id);

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
-- Name: purchase purchase_pkey; Type: CONSTRAINT; Schema: public; Owner: -
--

ALTER TABLE ONLY public.purchase
    ADD CONSTRAINT purchase_pkey PRIMARY KEY (project_id, customer_id, line_id, transaction);

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
-- Name: simulated_store simulated_store_pkey; Type: CONSTRAINT; Schema: public; Owner: -
--

ALTER TABLE ONLY public.simulated_store
    ADD CONSTRAINT simulated_store_pkey PRIMARY KEY (project_id, app_id);

--
-- Name: simulated_subscription simulated_subscription_pkey; Type: CONSTRAINT; Schema: public; Owner: -
--

ALTER TABLE ONLY public.simulated_subscription
    ADD CONSTRAINT simulated_subscription_pkey PRIMARY KEY (project_id, app_id, store_line);

--
-- Name: alias_by_customer; Type: INDEX; Schema: public; Owner: -
--

CREATE INDEX alias_by_customer ON public.alias USING btree (project_id, customer_id);

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
-- Name: customer_merged_into; Type: INDEX; Schema: public; Owner: -
--

CREATE INDEX customer_merged_into ON public.customer USING btree (project_id, merged_into) WHERE (merged_into IS NOT NULL);

--
-- Name: delivery_by_endpoint; Type: INDEX; Schema: public; Owner: -
--

CREATE INDEX delivery_by_endpoint ON public.delivery USING btree (project_id, endpoint_id);

--
-- Name: delivery_open; Type: INDEX; Schema: public; Owner: -
--

CREATE INDEX delivery_open ON public.delivery USING btree (project_id, endpoint_id, customer_id, sequence) WHERE (wake_at IS NOT NULL);

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
-- Name: inquiry_wake; Type: INDEX; Schema: public; Owner: -
--

CREATE INDEX inquiry_wake ON public.inquiry USING btree (project_id, wake_at) WHERE (wake_at IS NOT NULL);

--
-- Name: line_by_id; Type: INDEX; Schema: public; Owner: -
--

CREATE INDEX line_by_id ON public.line USING btree (project_id, line_id);

--
-- Name: line_wake; Type: INDEX; Schema: public; Owner: -
--

CREATE INDEX line_wake ON public.line USING btree (project_id, wake_at) WHERE (wake_at IS NOT NULL);

--
-- Name: notification_wake; Type: INDEX; Schema: public; Owner: -
--

CREATE INDEX notification_wake ON public.notification USING btree (project_id, wake_at) WHERE (wake_at IS NOT NULL);

--
-- Name: offering_one_is_current; Type: INDEX; Schema: public; Owner: -
--

CREATE UNIQUE INDEX offering_one_is_current ON public.offering USING btree (project_id) WHERE is_current;

--
-- Name: package_product_by_product; Type: INDEX; Schema: public; Owner: -
--

CREATE INDEX package_product_by_product ON public.package_product USING btree (project_id, product_id);

--
-- Name: simulated_subscription_wake; Type: INDEX; Schema: public; Owner: -
--

CREATE INDEX simulated_subscription_wake ON public.simulated_subscription USING btree (project_id, wake_at) WHERE (wake_at IS NOT NULL);

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
-- Name: audit audit_project_id_fkey; Type: FK CONSTRAINT; Schema: public; Owner: -
--

ALTER TABLE ONLY public.audit
    ADD CONSTRAINT audit_project_id_fkey FOREIGN KEY (project_id) REFERENCES public.project(project_id);

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
-- Name: notification notification_project_id_app_id_fkey; Type: FK CONSTRAINT; Schema: public; Owner: -
--

ALTER TABLE ONLY public.notification
    ADD CONSTRAINT notification_project_id_app_id_fkey FOREIGN KEY (project_id, app_id) REFERENCES public.app(project_id, app_id) ON DELETE CASCADE;

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
-- Name: renewal renewal_project_id_customer_id_line_id_fkey; Type: FK CONSTRAINT; Schema: public; Owner: -
--

ALTER TABLE ONLY public.renewal
    ADD CONSTRAINT renewal_project_id_customer_id_line_id_fkey FOREIGN KEY (project_id, customer_id, line_id) REFERENCES public.line(project_id, customer_id, line_id) ON UPDATE CASCADE ON DELETE CASCADE;

--
-- Name: simulated_store simulated_store_project_id_app_id_fkey; Type: FK CONSTRAINT; Schema: public; Owner: -
--

ALTER TABLE ONLY public.simulated_store
    ADD CONSTRAINT simulated_store_project_id_app_id_fkey FOREIGN KEY (project_id, app_id) REFERENCES public.app(project_id, app_id) ON DELETE CASCADE;

--
-- Name: simulated_subscription simulated_subscription_project_id_app_id_fkey; Type: FK CONSTRAINT; Schema: public; Owner: -
--

ALTER TABLE ONLY public.simulated_subscription
    ADD CONSTRAINT simulated_subscription_project_id_app_id_fkey FOREIGN KEY (project_id, app_id) REFERENCES public.app(project_id, app_id) ON DELETE CASCADE;

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
-- Name: audit; Type: ROW SECURITY; Schema: public; Owner: -
--

ALTER TABLE public.audit ENABLE ROW LEVEL SECURITY;

--
-- Name: customer; Type: ROW SECURITY; Schema: public; Owner: -
--

ALTER TABLE public.customer ENABLE ROW LEVEL SECURITY;

--
-- Name: customer_document; Type: ROW SECURITY; Schema: public; Owner: -
--

ALTER TABLE public.customer_document ENABLE ROW LEVEL SECURITY;

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
-- Name: notification; Type: ROW SECURITY; Schema: public; Owner: -
--

ALTER TABLE public.notification ENABLE ROW LEVEL SECURITY;

--
-- Name: offering; Type: ROW SECURITY; Schema: public; Owner: -
--

ALTER TABLE public.offering ENABLE ROW LEVEL SECURITY;

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
-- Name: project; Type: ROW SECURITY; Schema: public; Owner: -
--

ALTER TABLE public.project ENABLE ROW LEVEL SECURITY;

--
-- Name: purchase; Type: ROW SECURITY; Schema: public; Owner: -
--

ALTER TABLE public.purchase ENABLE ROW LEVEL SECURITY;

--
-- Name: renewal; Type: ROW SECURITY; Schema: public; Owner: -
--

ALTER TABLE public.renewal ENABLE ROW LEVEL SECURITY;

--
-- Name: simulated_store; Type: ROW SECURITY; Schema: public; Owner: -
--

ALTER TABLE public.simulated_store ENABLE ROW LEVEL SECURITY;

--
-- Name: simulated_subscription; Type: ROW SECURITY; Schema: public; Owner: -
--

ALTER TABLE public.simulated_subscription ENABLE ROW LEVEL SECURITY;

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
-- Name: audit wall; Type: POLICY; Schema: public; Owner: -
--

CREATE POLICY wall ON public.audit USING ((project_id = ANY (( SELECT string_to_array(current_setting('perennial.projects'::text, true), ','::text) AS string_to_array)::text[])));

--
-- Name: customer wall; Type: POLICY; Schema: public; Owner: -
--

CREATE POLICY wall ON public.customer USING ((project_id = ANY (( SELECT string_to_array(current_setting('perennial.projects'::text, true), ','::text) AS string_to_array)::text[])));

--
-- Name: customer_document wall; Type: POLICY; Schema: public; Owner: -
--

CREATE POLICY wall ON public.customer_document USING ((project_id = ANY (( SELECT string_to_array(current_setting('perennial.projects'::text, true), ','::text) AS string_to_array)::text[])));

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
-- Name: notification wall; Type: POLICY; Schema: public; Owner: -
--

CREATE POLICY wall ON public.notification USING ((project_id = ANY (( SELECT string_to_array(current_setting('perennial.projects'::text, true), ','::text) AS string_to_array)::text[])));

--
-- Name: offering wall; Type: POLICY; Schema: public; Owner: -
--

CREATE POLICY wall ON public.offering USING ((project_id = ANY (( SELECT string_to_array(current_setting('perennial.projects'::text, true), ','::text) AS string_to_array)::text[])));

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
-- Name: project wall; Type: POLICY; Schema: public; Owner: -
--

CREATE POLICY wall ON public.project USING ((project_id = ANY (( SELECT string_to_array(current_setting('perennial.projects'::text, true), ','::text) AS string_to_array)::text[])));

--
-- Name: purchase wall; Type: POLICY; Schema: public; Owner: -
--

CREATE POLICY wall ON public.purchase USING ((project_id = ANY (( SELECT string_to_array(current_setting('perennial.projects'::text, true), ','::text) AS string_to_array)::text[])));

--
-- Name: renewal wall; Type: POLICY; Schema: public; Owner: -
--

CREATE POLICY wall ON public.renewal USING ((project_id = ANY (( SELECT string_to_array(current_setting('perennial.projects'::text, true), ','::text) AS string_to_array)::text[])));

--
-- Name: simulated_store wall; Type: POLICY; Schema: public; Owner: -
--

CREATE POLICY wall ON public.simulated_store USING ((project_id = ANY (( SELECT string_to_array(current_setting('perennial.projects'::text, true), ','::text) AS string_to_array)::text[])));

--
-- Name: simulated_subscription wall; Type: POLICY; Schema: public; Owner: -
--

CREATE POLICY wall ON public.simulated_subscription USING ((project_id = ANY (( SELECT string_to_array(current_setting('perennial.projects'::text, true), ','::text) AS string_to_array)::text[])));

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
-- Name: FUNCTION due_projects(wanted_lane text, wall timestamp with time zone, most integer); Type: ACL; Schema: public; Owner: -
--

REVOKE ALL ON FUNCTION public.due_projects(wanted_lane text, wall timestamp with time zone, most integer) FROM PUBLIC;
GRANT ALL ON FUNCTION public.due_projects(wanted_lane text, wall timestamp with time zone, most integer) TO perennial_app;

--
-- Name: FUNCTION enter(projects text[], wall timestamp with time zone); Type: ACL; Schema: public; Owner: -
--

REVOKE ALL ON FUNCTION public.enter(projects text[], wall timestamp with time zone) FROM PUBLIC;
GRANT ALL ON FUNCTION public.enter(projects text[], wall timestamp with time zone) TO perennial_app;

--
-- Name: FUNCTION find_keys(hashes bytea[]); Type: ACL; Schema: public; Owner: -
--

REVOKE ALL ON FUNCTION public.find_keys(hashes bytea[]) FROM PUBLIC;
GRANT ALL ON FUNCTION public.find_keys(hashes bytea[]) TO perennial_app;

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
-- Name: FUNCTION read_customers(hashes bytea[], app_user_ids text[]); Type: ACL; Schema: public; Owner: -
--

REVOKE ALL ON FUNCTION public.read_customers(hashes bytea[], app_user_ids text[]) FROM PUBLIC;
GRANT ALL ON FUNCTION public.read_customers(hashes bytea[], app_user_ids text[]) TO perennial_app;

--
-- Name: TABLE delivery; Type: ACL; Schema: public; Owner: -
--

GRANT SELECT,INSERT,DELETE,UPDATE ON TABLE public.delivery TO perennial_app;

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
-- Name: TABLE simulated_subscription; Type: ACL; Schema: public; Owner: -
--

GRANT SELECT,INSERT,DELETE,UPDATE ON TABLE public.simulated_subscription TO perennial_app;

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
-- Name: TABLE audit; Type: ACL; Schema: public; Owner: -
--

GRANT SELECT,INSERT,DELETE,UPDATE ON TABLE public.audit TO perennial_app;

--
-- Name: TABLE customer; Type: ACL; Schema: public; Owner: -
--

GRANT SELECT,INSERT,DELETE,UPDATE ON TABLE public.customer TO perennial_app;

--
-- Name: TABLE customer_document; Type: ACL; Schema: public; Owner: -
--

GRANT SELECT,INSERT,DELETE,UPDATE ON TABLE public.customer_document TO perennial_app;

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
-- Name: TABLE line_directory; Type: ACL; Schema: public; Owner: -
--

GRANT SELECT,INSERT,DELETE,UPDATE ON TABLE public.line_directory TO perennial_app;

--
-- Name: TABLE offering; Type: ACL; Schema: public; Owner: -
--

GRANT SELECT,INSERT,DELETE,UPDATE ON TABLE public.offering TO perennial_app;

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
-- Name: TABLE purchase; Type: ACL; Schema: public; Owner: -
--

GRANT SELECT,INSERT,DELETE,UPDATE ON TABLE public.purchase TO perennial_app;

--
-- Name: TABLE renewal; Type: ACL; Schema: public; Owner: -
--

GRANT SELECT,INSERT,DELETE,UPDATE ON TABLE public.renewal TO perennial_app;

--
-- Name: TABLE simulated_store; Type: ACL; Schema: public; Owner: -
--

GRANT SELECT,INSERT,DELETE,UPDATE ON TABLE public.simulated_store TO perennial_app;

--
-- PostgreSQL database dump complete
--
