-- End one attempt and hold the job until its next one is due, unless it is to be cancelled. With a
-- delay of zero the job keeps its lease, for an attempt of the same worker numbered one higher
-- (failover). An attempt that met a busy endpoint is nobody's fault: the job is allowed a further one.
with held as (
    update scheduling_job j
       set status = case when %(delay_seconds)s > 0 then 'held' else 'processing' end,
           held_reason = case when %(delay_seconds)s > 0 then 'due' else '' end,
           due_at = case when %(delay_seconds)s > 0
                         then clock_timestamp() + make_interval(secs => %(delay_seconds)s) end,
           attempts = %(number)s + case when %(delay_seconds)s > 0 then 0 else 1 end,
           max_attempts = least(max_attempts + %(further)s, 32767),
           error_code = %(error_code)s, error_message = %(public)s,
           updated_at = clock_timestamp(),
           spent_micros = coalesce(j.spent_micros + %(spent_micros)s::bigint,
                                   %(spent_micros)s::bigint, j.spent_micros),
           spent_estimated = j.spent_estimated or %(spent_estimated)s
     where j.id = %(id)s and j.lease_token = %(lease_token)s and j.status = 'processing'
       and not j.cancel_requested
    returning j.id, j.worker, j.started_at, j.tenant_id, j.user_id, j.model
),
tries as (
    insert into scheduling_attempt (
        job_id, number, endpoint_id, worker, outcome, error_code, error_message, started_at,
        first_token_at, ended_at, why, endpoint_name, spent_micros)
    select id, %(number)s, %(endpoint_id)s, worker, 'error', %(error_code)s, %(error_message)s,
           started_at, %(first_token_at)s, clock_timestamp(), %(why)s::jsonb,
           %(endpoint_name)s, %(spent_micros)s::bigint
      from held
),
usage as (
    insert into scheduling_usageentry (
        day, tenant_id, user_id, model, endpoint, requests, estimated_requests, prompt_tokens,
        completion_tokens, spent_micros)
    select (clock_timestamp() at time zone 'utc')::date, tenant_id, user_id, model,
           %(endpoint_name)s, 0, 0, %(spent_prompt)s, %(spent_completion)s,
           coalesce(%(spent_micros)s::bigint, 0)
      from held
     where %(spent_prompt)s + %(spent_completion)s > 0
)
select id from held
