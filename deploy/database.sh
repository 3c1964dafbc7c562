#!/bin/sh
# Run once by the PostgreSQL image, as the owner: the role that server and workers log in as. It owns nothing.
set -eu
psql --set ON_ERROR_STOP=1 --username "$POSTGRES_USER" --dbname "$POSTGRES_DB" --set password="$DATABASE_PASSWORD" <<'SQL'
CREATE ROLE perennial_app NOLOGIN;
CREATE ROLE perennial_login LOGIN PASSWORD :'password' IN ROLE perennial_app;
SQL
