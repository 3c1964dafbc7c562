-- What belongs to the installation and to no project, sealed with its key: every server has the same, and none needs a folder for it.

CREATE TABLE installation_secret (
  name       text PRIMARY KEY,
  sealed     bytea NOT NULL,
  created_at timestamptz NOT NULL
);

-- The one that is kept under a name; the one offered, where none is. Of those who offer one at the same moment all get the same.
CREATE FUNCTION keep_installation_secret(wanted text, offered bytea, wall timestamptz) RETURNS bytea
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
BEGIN
  INSERT INTO installation_secret (name, sealed, created_at) VALUES (wanted, offered, wall) ON CONFLICT DO NOTHING;
  RETURN (SELECT s.sealed FROM installation_secret s WHERE s.name = wanted);
END $$;

CREATE FUNCTION find_installation_secret(wanted text) RETURNS bytea
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = public, pg_temp AS $$ SELECT sealed FROM installation_secret WHERE name = wanted $$;

-- Where the key is lost, nothing can open them any more.
CREATE FUNCTION forget_installation_secrets() RETURNS void
LANGUAGE sql SECURITY DEFINER SET search_path = public, pg_temp AS $$ DELETE FROM installation_secret $$;

REVOKE ALL ON FUNCTION keep_installation_secret(text, bytea, timestamptz), find_installation_secret(text), forget_installation_secrets() FROM PUBLIC;
GRANT EXECUTE ON FUNCTION keep_installation_secret(text, bytea, timestamptz), find_installation_secret(text), forget_installation_secrets()
  TO perennial_app;
