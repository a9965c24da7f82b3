-- Queue jobs again whose lease ran out, or end them when they are to be cancelled or when their
-- attempts or their time are up. Index job_leases.
--
-- A plain stream of which text went out (`spoke`) ends where it broke: it never has two answers. One
-- that nobody has looked at (`looked`, from lost_streams.sql) is left for a later round.
with lost as materialized (
    select id
      from scheduling_job
     where status = 'processing' and lease_expires_at < now()
       and (source <> 'openai' or not stream or cancel_requested
            or id = any(%(looked)s::uuid[]))
     order by lease_expires_at
     limit 1000
       for update skip locked
),
judged as (
    select id, id = any(%(spoke)s::uuid[]) as spoke from lost
),
moved as (
    update scheduling_job j
       set status = case when j.cancel_requested then 'cancelled'
                         when judged.spoke then 'failed'
                         when j.deadline_at <= now() then 'timeout'
                         when j.attempts >= j.max_attempts then 'failed'
                         else 'queued' end,
           finished_at = case when j.cancel_requested or judged.spoke or j.deadline_at <= now()
                                   or j.attempts >= j.max_attempts then clock_timestamp() end,
           error_code = case when judged.spoke then 'attempt_lost' else 'lease_lost' end,
           error_message = case when judged.spoke
                                then 'the worker went away in the middle of the answer'
                                else 'the worker ' || j.worker || ' went away' end,
           lease_token = null, lease_expires_at = null, worker = '', updated_at = clock_timestamp()
      from judged
     where j.id = judged.id
    returning j.id, j.level, j.status, j.source, j.origin, j.sequence_key, j.attempts, j.stream,
              j.error_code, j.error_message, j.request_id, j.started_at
),
tries as (
    insert into scheduling_attempt (
        job_id, number, worker, outcome, error_code, error_message, started_at, ended_at)
    select id, attempts, '', 'lost', error_code, error_message, started_at, clock_timestamp()
      from moved
)
select id, level, status, source, origin, sequence_key, attempts, stream, error_code,
       error_message, request_id
  from moved
