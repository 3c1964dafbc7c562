#!/bin/sh
# Makes the role that server and workers log in as, and that owns nothing. The PostgreSQL image runs this once, as POSTGRES_USER;
# elsewhere run it as who is to own the tables: a login that may create roles. Run again, it sets the password anew.
set -eu
psql --set ON_ERROR_STOP=1 --username "$POSTGRES_USER" --dbname "$POSTGRES_DB" --set password="$DATABASE_PASSWORD" <<'SQL'
SELECT 'CREATE ROLE perennial_app NOLOGIN' WHERE NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'perennial_app') \gexec
SELECT 'CREATE ROLE perennial_login IN ROLE perennial_app' WHERE NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'perennial_login') \gexec
ALTER ROLE perennial_login LOGIN PASSWORD :'password';
SQL
