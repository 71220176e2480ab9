-- The operations database of the fictional Northwind Harbour. Times are UTC, money is in euros.
-- Rows belong to a tenant, a department of the harbour; those of 'shared' are everyone's.
CREATE SCHEMA harbour;

CREATE TABLE harbour.services (
    id          integer PRIMARY KEY,
    tenant      text NOT NULL,
    name        text NOT NULL UNIQUE,
    part_of     integer REFERENCES harbour.services,
    host        text NOT NULL,
    port        integer CHECK (port BETWEEN 1 AND 65535),
    tier        integer NOT NULL CHECK (tier BETWEEN 1 AND 3),
    owner       text NOT NULL,
    since       date NOT NULL,
    description text NOT NULL
);

CREATE TABLE harbour.incidents (
    id         text PRIMARY KEY CHECK (id ~ '^INC-[0-9]{3}$'),
    tenant     text NOT NULL,
    service_id integer NOT NULL REFERENCES harbour.services,
    severity   text NOT NULL CHECK (severity IN ('SEV1', 'SEV2', 'SEV3')),
    title      text NOT NULL,
    started_at timestamptz NOT NULL,
    ended_at   timestamptz NOT NULL CHECK (ended_at > started_at),
    minutes    integer GENERATED ALWAYS AS
               ((extract(epoch FROM ended_at - started_at) / 60)::integer) STORED,
    cause      text NOT NULL,
    handled_by text NOT NULL
);

CREATE TABLE harbour.deployments (
    id          integer PRIMARY KEY,
    tenant      text NOT NULL,
    service_id  integer NOT NULL REFERENCES harbour.services,
    release     text NOT NULL,
    host        text NOT NULL,
    engineer    text NOT NULL,
    started_at  timestamptz NOT NULL,
    finished_at timestamptz NOT NULL CHECK (finished_at > started_at),
    result      text NOT NULL CHECK (result IN ('installed', 'rolled back', 'failed')),
    incident_id text REFERENCES harbour.incidents
);

CREATE TABLE harbour.costs (
    id            integer PRIMARY KEY,
    tenant        text NOT NULL,
    service_id    integer NOT NULL REFERENCES harbour.services,
    month         date NOT NULL CHECK (extract(day FROM month) = 1),
    item          text NOT NULL,
    amount        numeric(10, 2) NOT NULL,
    deployment_id integer REFERENCES harbour.deployments
);

-- No reading role may see this table. Tests look for its word in everything that leaves the server.
CREATE TABLE harbour.vault (
    word text PRIMARY KEY
);
INSERT INTO harbour.vault VALUES ('canary-vault-5d21c7');

CREATE INDEX ON harbour.services (part_of);
CREATE INDEX ON harbour.incidents (service_id, started_at);
CREATE INDEX ON harbour.deployments (service_id, started_at);
CREATE INDEX ON harbour.costs (service_id, month);
CREATE INDEX ON harbour.costs (deployment_id) WHERE deployment_id IS NOT NULL;

-- PostgreSQL keeps no statistics of these columns: they count the rows of all tenants, and the choice
-- of a plan would tell a tenant which values the hidden ones have.
DO $$
DECLARE tab name; col name;
BEGIN
    FOR tab, col IN
        SELECT c.relname, a.attname FROM pg_attribute a JOIN pg_class c ON c.oid = a.attrelid
        WHERE c.relnamespace = 'harbour'::regnamespace AND c.relkind = 'r' AND a.attnum > 0
    LOOP
        EXECUTE format('ALTER TABLE harbour.%I ALTER COLUMN %I SET STATISTICS 0', tab, col);
    END LOOP;
END $$;

COMMENT ON TABLE harbour.services IS
    'What runs where and who owns it: services, and the parts they are made of.';
COMMENT ON COLUMN harbour.services.tenant IS 'Department that the row belongs to, or shared.';
COMMENT ON COLUMN harbour.services.part_of IS 'Service that this one is a part of; null: none.';
COMMENT ON COLUMN harbour.services.host IS 'Host on which it runs in normal times, like keel-01.';
COMMENT ON COLUMN harbour.services.tier IS '1: users notice at once; 2: within the day; 3: seldom.';
COMMENT ON COLUMN harbour.services.owner IS 'Person who answers for it.';
COMMENT ON COLUMN harbour.services.since IS 'Day on which it went into use.';

COMMENT ON TABLE harbour.incidents IS
    'Incidents since 2023. The reviews of SEV1 and SEV2 incidents are documents.';
COMMENT ON COLUMN harbour.incidents.severity IS 'SEV1 is the worst, SEV3 the mildest.';
COMMENT ON COLUMN harbour.incidents.minutes IS 'Duration in minutes.';
COMMENT ON COLUMN harbour.incidents.handled_by IS 'Person who did most to end it.';

COMMENT ON TABLE harbour.deployments IS
    'Each installation of a release on one host, since 2023.';
COMMENT ON COLUMN harbour.deployments.release IS 'Year and count, like 2026.9.';
COMMENT ON COLUMN harbour.deployments.result IS 'installed, rolled back or failed.';
COMMENT ON COLUMN harbour.deployments.incident_id IS 'Incident that it caused; null: none.';

COMMENT ON TABLE harbour.costs IS 'Invoices by service, month and item, since 2023.';
COMMENT ON COLUMN harbour.costs.month IS 'First day of the month that is paid for.';
COMMENT ON COLUMN harbour.costs.amount IS 'Euros.';
COMMENT ON COLUMN harbour.costs.deployment_id IS
    'Deployment that caused the cost, for the item repair; null for all others.';
