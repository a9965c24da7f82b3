-- Plain streams (their client cannot come back) whose lease ran out. Whether text of theirs went out
-- decides in sweep_leases.sql what becomes of them. Index job_leases.
select id, attempts
  from scheduling_job
 where status = 'processing' and lease_expires_at < now()
   and source = 'openai' and stream and not cancel_requested
 order by lease_expires_at
 limit 1000
