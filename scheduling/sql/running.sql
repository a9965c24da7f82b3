-- Does any worker still run a job? Index job_leases.
select exists (select 1 from scheduling_job
                where status = 'processing' and lease_expires_at > now())
