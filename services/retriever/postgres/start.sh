#!/bin/bash
# Starts the retriever's PostgreSQL, on an empty volume with a new cluster first. One role comes in,
# the owner of its one database; the superuser's password is known to nobody.
set -euo pipefail

cluster=/var/lib/postgresql/data/cluster

# Statements of the superuser's, before anybody can connect.
alone() {
  postgres --single -D "$1" -c log_min_error_statement=panic postgres >/dev/null
}

if [[ ! -d $cluster ]]; then
  # Made beside its place: a start that is cut off leaves nothing that looks whole.
  rm -rf "$cluster.new"
  initdb --pgdata="$cluster.new" --username=postgres --pwfile=<(head -c 32 /dev/urandom | base64) \
    --auth=scram-sha-256 --encoding=UTF8 --locale-provider=builtin --builtin-locale=C.UTF-8 --locale=C
  # A pod's network is itself alone: there a policy says who comes, and this asks for the password.
  echo "host retriever retriever ${CLIENTS:-samenet} scram-sha-256" >>"$cluster.new/pg_hba.conf"
  alone "$cluster.new" <<'SQL'
CREATE ROLE retriever LOGIN NOSUPERUSER NOCREATEDB NOCREATEROLE NOREPLICATION NOBYPASSRLS
CREATE DATABASE retriever OWNER retriever ENCODING 'UTF8' TEMPLATE template0
REVOKE ALL ON DATABASE retriever, postgres, template1 FROM PUBLIC
SQL
  mv "$cluster.new" "$cluster"
fi
# 43 characters of base64 for URLs: nothing in it has to be escaped.
alone "$cluster" <<<"ALTER ROLE retriever PASSWORD '$(tr -d '\n' </run/secrets/password)'"
exec postgres -D "$cluster" -c config_file=/etc/bulkhead/state/postgresql.conf \
  -c hba_file="$cluster/pg_hba.conf" -c ident_file="$cluster/pg_ident.conf"
