-- Record the call of a hedged pair that was not kept. It did not decide the attempt.
insert into scheduling_attempt (
    job_id, number, endpoint_id, worker, outcome, error_code, error_message, started_at,
    first_token_at, ended_at, why, endpoint_name)
values (
    %(id)s, %(number)s, %(endpoint_id)s, %(worker)s, %(outcome)s, %(error_code)s,
    %(error_message)s, clock_timestamp() - make_interval(secs => %(seconds)s), null,
    clock_timestamp(), %(why)s::jsonb, %(endpoint_name)s)
returning id
