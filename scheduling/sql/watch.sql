-- The pauses in force, and whether anything waits or runs. Web processes read it once a second.
-- Indexes job_claim, job_held, job_leases.
select (select coalesce(json_agg(json_build_array(p.scope, p.key, p.reason)), '[]')
          from scheduling_pause p) as pauses,
       exists (select 1
                 from unnest(array[0, 1, 2, 3]::smallint[]) as l(level)
                cross join lateral (
                      select 1 from scheduling_job j
                       where j.status = 'queued' and j.level = l.level limit 1) q)
       or exists (select 1
                    from unnest(array[0, 1, 2, 3]::smallint[]) as l(level)
                   cross join lateral (
                         select 1 from scheduling_job j
                          where j.status = 'held' and j.level = l.level limit 1) h)
       or exists (select 1 from scheduling_job j
                   where j.status = 'processing' and j.lease_expires_at is not null) as busy
