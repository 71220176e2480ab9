#!/bin/bash
# Starts PostgreSQL, on an empty volume with a new cluster first. The image's own entry point would
# leave the superuser's password in the server's environment and let its socket in without one.
set -euo pipefail

cluster=/var/lib/postgresql/data/cluster
if [[ ! -d $cluster ]]; then
  # Made beside its place: a start that is cut off leaves nothing that looks whole.
  rm -rf "$cluster.new"
  initdb --pgdata="$cluster.new" --username=postgres --pwfile=/run/secrets/postgres \
    --auth=scram-sha-256 --encoding=UTF8 --locale-provider=builtin --builtin-locale=C.UTF-8 --locale=C
  # A pod's network is itself alone: there a policy says who comes, and this asks for the password.
  echo "host all all ${CLIENTS:-samenet} scram-sha-256" >>"$cluster.new/pg_hba.conf"
  mv "$cluster.new" "$cluster"
fi
exec postgres -D "$cluster" -c config_file=/etc/bulkhead/postgres/postgresql.conf \
  -c hba_file="$cluster/pg_hba.conf" -c ident_file="$cluster/pg_ident.conf"
