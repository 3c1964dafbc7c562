-- Catching up with a store after an outage: how far it got, so that it can be stopped and gone on with.

SET lock_timeout = '5s';

CREATE TABLE catch_up (
  project_id  text NOT NULL,
  app_id      text NOT NULL,
  catch_up_id text NOT NULL,
  environment text NOT NULL CHECK (environment IN ('production', 'sandbox')),
  since       timestamptz NOT NULL,
  until       timestamptz NOT NULL,
  reached     timestamptz,                -- what the store sent up to here is kept
  is_read     boolean NOT NULL DEFAULT false, -- all of it
  lines_after text NOT NULL DEFAULT '',   -- lines up to this one are on the list of questions
  told        bigint NOT NULL DEFAULT 0,  -- things the store told of the span
  new         bigint NOT NULL DEFAULT 0,  -- notifications among them that we did not have
  asked       bigint NOT NULL DEFAULT 0,  -- lines and subjects the store is asked about
  started_at  timestamptz NOT NULL,
  finished_at timestamptz,
  PRIMARY KEY (project_id, app_id, catch_up_id),
  FOREIGN KEY (project_id, app_id) REFERENCES app ON DELETE CASCADE
);

-- Apps whose store's notifications we fetch ourselves: a Pub/Sub subscription is named, and nothing is pushed to us.
CREATE FUNCTION apps_to_pull() RETURNS TABLE (project_id text, app_id text)
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = public, pg_temp AS $$
  SELECT project_id, app_id FROM app
  WHERE store = 'play_store' AND settings ? 'pubsub_subscription' AND NOT settings ? 'pubsub_audience' AND secrets IS NOT NULL
$$;
