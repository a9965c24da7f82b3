-- Hold the queued jobs of paused tenants and flows, with their tags. Index job_claim.
--
-- A pause runs this once. The sweep runs it again for jobs that were stored or given back at the
-- very moment of the pause.
with paused as materialized (
    select j.id
      from scheduling_pause p
     cross join unnest(array[0, 1, 2, 3]::smallint[]) as l(level)
      join scheduling_job j
        on j.status = 'queued' and j.level = l.level
           and (p.scope = 'tenant' and j.tenant_id::text = p.key
                or p.scope = 'flow' and j.flow_id::text = p.key)
     where p.scope in ('tenant', 'flow')
       for update of j skip locked
)
update scheduling_job j
   set status = 'held', held_reason = 'paused', updated_at = clock_timestamp()
  from paused
 where j.id = paused.id and j.status = 'queued'
returning j.id, j.level, j.status
