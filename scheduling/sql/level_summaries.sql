-- How each level stands: how many jobs wait and since when, how many run, how many ended lately.
-- Counts stop at a cap. Indexes job_claim, job_held, job_leases, job_finished.
with recent as materialized (
    select j.level, j.status, extract(epoch from j.started_at - j.created_at) as wait
      from scheduling_job j
     where j.finished_at > now() - make_interval(secs => %(window_seconds)s)
     order by j.finished_at desc
     limit 20000
)
select l.level,
       (select count(*)
          from (select 1 from scheduling_job j
                 where j.status = 'queued' and j.level = l.level limit %(cap)s) q) as queued,
       (select count(*)
          from (select 1 from scheduling_job j
                 where j.status = 'held' and j.level = l.level limit %(cap)s) h) as held,
       (select count(*)
          from (select 1 from scheduling_job j
                 where j.status = 'processing' and j.lease_expires_at is not null
                   and j.level = l.level limit %(cap)s) p) as processing,
       head.oldest,
       (select count(*) from recent r where r.level = l.level) as finished,
       (select count(*) from recent r
         where r.level = l.level and r.status in ('failed', 'timeout')) as failed,
       (select coalesce(avg(r.wait), 0)::double precision
          from recent r where r.level = l.level) as average_wait,
       (select coalesce(max(r.wait), 0)::double precision
          from recent r where r.level = l.level) as max_wait
  from unnest(array[0, 1, 2, 3]::smallint[]) as l(level)
 cross join lateral (
       select coalesce(extract(epoch from now() - min(h.created_at)), 0)::double precision as oldest
         from unnest(%(models)s::text[]) as m(model)
        cross join lateral (
              select j.created_at
                from scheduling_job j
               where j.status = 'queued' and j.level = l.level and j.model = m.model
               order by j.fair_tag, j.id
               limit %(heads)s) h) head
 order by l.level
