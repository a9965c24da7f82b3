-- A call beside the one that decides an attempt: the one of a hedged pair that was not kept.
insert into scheduling_attempt (
    job_id, number, endpoint_id, worker, outcome, error_code, error_message, started_at,
    first_token_at, ended_at, why)
values (
    %(id)s, %(number)s, %(endpoint_id)s, %(worker)s, %(outcome)s, %(error_code)s,
    %(error_message)s, clock_timestamp() - make_interval(secs => %(seconds)s), null,
    clock_timestamp(), %(why)s::jsonb)
returning id
