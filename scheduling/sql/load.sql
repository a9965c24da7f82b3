-- What waits and how fast it goes, by level and model: the figures of every estimated wait.
--
-- Of the jobs that wait: fair tags, costs and ids in fair order; of those that run: ages and costs;
-- of the latest that ended: seconds and costs, the newest first.
-- A burst is no rate. Arrivals are counted over twice the window, in three parts of equal length,
-- and the middle one of the three counts is taken. Where more jobs ended or arrived than are
-- counted, the window is the time that the counted ones span. Other counts stop at a cap.
-- Indexes job_claim, job_held, job_leases, job_finished, job_created.
with queued as materialized (
    select l.level, m.model, q.jobs, h.tags, h.costs, h.ids, h.oldest
      from unnest(array[0, 1, 2, 3]::smallint[]) as l(level)
     cross join unnest(%(models)s::text[]) as m(model)
     cross join lateral (
           select count(*) as jobs
             from (select 1 from scheduling_job j
                    where j.status = 'queued' and j.level = l.level and j.model = m.model
                    limit %(cap)s) counted) q
     cross join lateral (
           select array_agg(head.fair_tag order by head.fair_tag, head.id) as tags,
                  array_agg(head.cost order by head.fair_tag, head.id) as costs,
                  array_agg(head.id::text order by head.fair_tag, head.id) as ids,
                  coalesce(extract(epoch from now() - min(head.updated_at)), 0)::float8
                      as oldest
             from (select j.fair_tag, j.id, j.cost, j.updated_at
                     from scheduling_job j
                    where j.status = 'queued' and j.level = l.level and j.model = m.model
                    order by j.fair_tag, j.id
                    limit %(heads)s) head) h
),
running as materialized (
    select j.level, j.model, count(*) as jobs,
           (array_agg(extract(epoch from now() - j.started_at)::float8))[:%(heads)s]
               as ages,
           (array_agg(j.cost))[:%(heads)s] as costs
      from scheduling_job j
     where j.status = 'processing' and j.lease_expires_at is not null
     group by j.level, j.model
),
recent as materialized (
    select j.level, j.model, j.finished_at
      from scheduling_job j
     where j.finished_at > now() - make_interval(secs => %(window_seconds)s)
       and j.started_at is not null
     order by j.finished_at desc
     limit %(counted)s
),
span as materialized (
    select case when count(*) < %(counted)s then %(window_seconds)s
                else greatest(0.1, extract(epoch from now() - min(finished_at))) end as seconds
      from recent
),
ended as materialized (
    select level, model, count(*) as jobs from recent group by level, model
),
came as materialized (
    select j.level, j.model, extract(epoch from now() - j.created_at) as age
      from scheduling_job j
     where j.created_at > now() - make_interval(secs => 2 * %(window_seconds)s)
       and j.status <> 'held'
     order by j.created_at desc
     limit %(counted)s
),
thirds as materialized (
    select case when count(*) < %(counted)s then 2 * %(window_seconds)s
                else greatest(0.1, max(age)) end / 3.0 as seconds
      from came
),
arrived as materialized (
    select t.level, t.model,
           greatest(least(t.a, t.b), least(greatest(t.a, t.b), t.c)) / t.seconds as per_second
      from (select n.level, n.model, s.seconds,
                   count(*) filter (where n.age < s.seconds) as a,
                   count(*) filter (where n.age >= s.seconds and n.age < 2 * s.seconds) as b,
                   count(*) filter (where n.age >= 2 * s.seconds) as c
              from came n cross join thirds s
             group by n.level, n.model, s.seconds) t
),
service as materialized (
    select latest.model, array_agg(latest.seconds order by latest.finished_at desc) as seconds,
           array_agg(latest.cost order by latest.finished_at desc) as costs
      from (select j.model, j.cost, j.finished_at,
                   extract(epoch from j.finished_at - j.started_at)::float8 as seconds
              from scheduling_job j
             where j.finished_at is not null and j.status = 'completed'
             order by j.finished_at desc
             limit 200) latest
     group by latest.model
),
held as materialized (
    select count(*) as jobs
      from (select 1
              from unnest(array[0, 1, 2, 3]::smallint[]) as l(level)
             cross join lateral (
                   select 1 from scheduling_job j
                    where j.status = 'held' and j.level = l.level limit %(cap)s) h) counted
),
newest as materialized (
    select coalesce(avg(octet_length(p.body)), 0)::float8 as bytes
      from (select j.id, j.status from scheduling_job j order by j.created_at desc limit 200) j
      join scheduling_jobpayload p on p.job_id = j.id
     where j.status in ('queued', 'held')
)
select q.level, q.model, q.jobs, q.tags, q.costs, q.ids, q.oldest, coalesce(r.jobs, 0),
       r.ages, r.costs,
       (coalesce(e.jobs, 0) / span.seconds)::float8,
       coalesce(a.per_second, 0)::float8,
       s.seconds, s.costs,
       c.virtual_time, held.jobs, newest.bytes
  from queued q
  join scheduling_levelclock c on c.level = q.level
  left join running r on r.level = q.level and r.model = q.model
  left join ended e on e.level = q.level and e.model = q.model
  left join arrived a on a.level = q.level and a.model = q.model
  left join service s on s.model = q.model
 cross join span
 cross join held
 cross join newest
