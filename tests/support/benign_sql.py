"""Questions that people ask of such a database, as a model would write them: all must run."""

QUERIES = [
    # plain
    "select * from services",
    "select name, host, port from services order by name",
    "select * from harbour.services where tenant = 'shared'",
    "select distinct tenant from services",
    "select count(*) from incidents",
    "select count(*) as n, count(port), count(distinct host) from services",
    "table services",
    "values (1, 'a'), (2, 'b')",
    "select 1 + 1 as two, 7 / 2.0, 7 % 3, 2 ^ 10, -5",
    "select name from services where port is null",
    "select name from services where port is not null and tier <> 3",
    "select name from services where not (tier = 1 or tier = 2)",
    "select name from services where tier in (1, 2) and host not in ('dock-01')",
    "select name from services where name like 'mcp-%'",
    "select name from services where name not ilike '%KEEL%'",
    "select name from services where name like '50!%%' escape '!'",
    "select name from services where name similar to '(a|b)%'",
    "select name from services where name ~ '^mcp-' and name !~* 'x$'",
    "select name from services where port between 8000 and 8999",
    "select name from services limit 5 offset 5",
    "select name from services order by name fetch first 3 rows only",
    "select name from services order by tier fetch first 3 rows with ties",
    "select name from services order by port desc nulls last, name asc limit all",
    "select s.* from services as s",
    'select "s"."name" as "the name" from services "s"',
    "select name || ' on ' || host from services",
    "select (tier > 1) is true, (tier > 1) is not false, null is unknown from services",
    "select part_of is distinct from 1, part_of is not distinct from null from services",
    "-- the newest first\nselect name from services order by since desc",
    "select /* all */ name\n\tfrom services;",
    # joins
    "select i.id, s.name from incidents i join services s on s.id = i.service_id",
    "select s.name, count(i.id) from services s left join incidents i on i.service_id = s.id"
    " group by s.name",
    "select a.name, b.name from services a join services b on a.part_of = b.id",
    "select * from incidents i full outer join deployments d on d.incident_id = i.id limit 5",
    "select * from deployments d right join incidents i on d.incident_id = i.id limit 5",
    "select a.name from services a cross join services b limit 3",
    "select a.name from services a, services b where a.part_of = b.id",
    "select service_id from incidents join deployments using (service_id) limit 3",
    "select * from (select id as service_id from services) a natural join incidents limit 3",
    "select s.name, x.n from services s,"
    " lateral (select count(*) as n from incidents i where i.service_id = s.id) x",
    "select s.name, x.id from services s left join lateral (select id from incidents i"
    " where i.service_id = s.id order by started_at desc limit 1) x on true",
    # aggregates and groups
    "select severity, count(*) from incidents group by severity order by severity",
    "select severity, avg(minutes), min(minutes), max(minutes), sum(minutes) from incidents"
    " group by 1 having count(*) > 1",
    "select tenant, sum(amount) from costs group by tenant order by sum(amount) desc",
    "select month, sum(amount) from costs where month >= '2026-01-01' group by month order by 1",
    "select count(*) filter (where severity = 'SEV1') as sev1, count(*) from incidents",
    "select string_agg(name, ', ' order by name) from services where tier = 1",
    "select array_agg(distinct host) from services",
    "select array_agg(amount order by amount desc) from costs where month = '2026-09-01'",
    "select bool_and(tier > 0), bool_or(tier = 3), every(tier < 4) from services",
    "select stddev(minutes), variance(minutes), stddev_pop(minutes), var_samp(minutes)"
    " from incidents",
    "select percentile_cont(0.5) within group (order by minutes),"
    " percentile_disc(0.95) within group (order by minutes) from incidents",
    "select mode() within group (order by cause) from incidents",
    "select corr(tier, port), regr_slope(tier, port) from services",
    "select tenant, item, sum(amount) from costs group by rollup (tenant, item) limit 20",
    "select tenant, item, sum(amount), grouping(tenant) from costs group by cube (tenant, item)"
    " limit 20",
    "select tenant, item, count(*) from costs group by grouping sets ((tenant), (item), ())",
    "select date_trunc('quarter', started_at) as q, count(*) from incidents group by q order by q",
    # windows
    "select id, rank() over (order by minutes desc) from incidents limit 5",
    "select id, row_number() over (partition by severity order by started_at) from incidents",
    "select id, dense_rank() over w, percent_rank() over w, cume_dist() over w from incidents"
    " window w as (order by minutes)",
    "select month, sum(amount), lag(sum(amount)) over (order by month) from costs group by month",
    "select id, lead(id, 1, 'none') over (order by started_at),"
    " first_value(id) over (order by started_at), ntile(4) over (order by minutes) from incidents",
    "select month, sum(sum(amount)) over (order by month rows between unbounded preceding and"
    " current row) from costs group by month",
    "select id, avg(minutes) over (order by started_at rows between 2 preceding and 2 following)"
    " from incidents",
    "select id, last_value(id) over (order by id range between unbounded preceding and unbounded"
    " following), nth_value(id, 2) over (order by id) from incidents",
    # subqueries, with and sets
    "select * from (select name, tier from services) s where tier = 1",
    "select name from services where id in (select service_id from incidents)",
    "select name from services s where exists (select 1 from incidents i"
    " where i.service_id = s.id and severity = 'SEV1')",
    "select name from services where id = any (select service_id from deployments)",
    "select name from services where tier <= all (select tier from services)",
    "select name, (select count(*) from incidents i where i.service_id = s.id) from services s",
    "select array(select name from services order by name limit 3)",
    "with bad as (select * from deployments where result = 'failed') select count(*) from bad",
    "with a as (select 1 as n), b as materialized (select n + 1 as n from a)"
    " select * from a union all select * from b",
    "with services as (select 'mine' as name) select name from services",
    "with recursive parts as (select id, name from services where name = 'ask-the-harbour'"
    " union all select s.id, s.name from services s join parts p on s.part_of = p.id)"
    " select name from parts",
    "with recursive n (i) as (select 1 union select i + 1 from n where i < 10)"
    " select sum(i) from n",
    "select host from services union select host from deployments",
    "select host from services except select host from deployments",
    "(select host from services limit 2) intersect all (select host from deployments) order by 1",
    # expressions
    "select case when tier = 1 then 'high' when tier = 2 then 'mid' else 'low' end from services",
    "select case severity when 'SEV1' then 1 else 0 end from incidents",
    "select coalesce(port, 0), nullif(tier, 3), greatest(tier, 2), least(1, 2) from services",
    "select upper(name), lower(owner), initcap(name), length(name), left(name, 3), right(name, 3)"
    " from services",
    "select trim(both ' ' from ' a '), ltrim(' a'), rtrim('a '), btrim('xax', 'x')",
    "select substring(name from 1 for 3), substr(name, 2), position('-' in name),"
    " strpos(name, '-'), overlay(name placing 'x' from 1) from services",
    "select split_part(release, '.', 2)::int from deployments limit 3",
    "select replace(name, '-', ' '), concat(name, ':', port), concat_ws('/', host, port),"
    " reverse(name), starts_with(name, 'm'), translate(name, '-', '_') from services",
    "select regexp_replace(name, '[^a-z]', '', 'g'), regexp_match(name, '^[a-z]+') from services",
    "select round(amount), round(amount, 1), ceil(amount), floor(amount), trunc(amount),"
    " abs(amount), sign(amount), sqrt(amount), mod(id, 7), ln(amount), power(2, 3) from costs"
    " limit 3",
    "select width_bucket(amount, 0, 1000, 10), count(*) from costs group by 1 order by 1",
    # times
    "select current_date, now() > started_at, localtimestamp is not null from incidents limit 1",
    "select id from incidents where started_at >= date '2026-01-01'"
    " and started_at < '2027-01-01'::timestamptz",
    "select id from incidents where ended_at - started_at > interval '1 hour'",
    "select extract(year from started_at) as y, count(*) from incidents group by y order by y",
    "select extract(epoch from ended_at - started_at) / 60 from incidents",
    "select date_part('dow', started_at), to_char(started_at, 'YYYY-MM-DD HH24:MI') from incidents",
    "select age(ended_at, started_at), started_at at time zone 'Europe/Oslo' from incidents",
    "select (started_at, ended_at) overlaps (timestamptz '2026-08-17 06:00+00',"
    " interval '1 hour') from incidents",
    "select make_date(2026, 10, 28), to_date('28.10.2026', 'DD.MM.YYYY'), to_timestamp(0),"
    " date_bin('15 minutes', started_at, timestamptz '2026-01-01') from incidents limit 1",
    "select m::date, count(d.id) from generate_series(date '2026-01-01', date '2026-10-01',"
    " interval '1 month') as m left join deployments d on date_trunc('month', d.started_at) = m"
    " group by m order by m",
    # arrays, rows and casts
    "select unnest(array['a', 'b']), (array[1, 2, 3])[2], (array[1, 2, 3])[1:2]",
    "select * from unnest(array[1, 2]) with ordinality as u (n, i)",
    "select u.n, u.i from unnest(array[1, 2]) with ordinality as u (n, i)",
    "select g.g, h.h, generate_series.generate_series from generate_series(1, 2) g,"
    " generate_series(1, 2) as h (h), generate_series(1, 2)",
    "select r.generate_series, r.now from rows from (generate_series(1, 2), now()) as r",
    "select u.u, u.ordinality from unnest(array['a']) with ordinality as u",
    "select d.regrole from (select name as regrole from services) d limit 1",
    "select g.upper, ('a'::text).upper from unnest(array['a']) as g",
    "select cardinality(array[1, 2]), array_length(array[1, 2], 1),"
    " array_to_string(array['a', 'b'], ','), array_position(array[1, 2], 2)",
    "select id from incidents where severity = any (array['SEV1', 'SEV2'])",
    "select id from incidents where (severity, tenant) = ('SEV1', 'shared')",
    "select row(1, 'a'), '1'::int, 1::text, cast(1.5 as numeric(10, 1)), 'true'::bool,"
    " '{1,2}'::int[]",
    "select numeric '1.10', 1e3, .5, b'101', 'it''s', E'a\\nb', $$quoted$$, U&'\\0041'",
    "select name from services where name = 'Ærøskøbing' or owner = 'Zoë Lindqvist'",
]
