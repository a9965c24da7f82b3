-- How many slots each level could use, by model: jobs queued and jobs running. Queued jobs are
-- counted no further than there are slots. Indexes job_claim, job_leases.
with running as materialized (
    select j.level, j.model, count(*) as jobs
      from scheduling_job j
     where j.status = 'processing' and j.lease_expires_at is not null
     group by j.level, j.model
)
select l.level, m.model, q.jobs, coalesce(r.jobs, 0)
  from unnest(array[0, 1, 2, 3]::smallint[]) as l(level)
 cross join unnest(%(models)s::text[]) as m(model)
 cross join lateral (
       select count(*) as jobs
         from (select 1 from scheduling_job j
                where j.status = 'queued' and j.level = l.level and j.model = m.model
                limit %(most)s) counted) q
  left join running r on r.level = l.level and r.model = m.model
