-- Store the outcome of a group of leased jobs, each once: the lease token is the fence.
--
-- A worker that lost its lease updates no row here, and so stores no result. Actual minus estimated
-- cost is settled with the flow. The lengths of the answers are learned by (flow, model); these
-- rows are locked in that order, after the flow tags (scheduling/policies/estimates.py has the same
-- formula).
with input as (
    select *
      from json_to_recordset(%(outcomes)s::json) as i(
               id uuid, lease_token uuid, status text, prompt_tokens integer,
               completion_tokens integer, actual_cost double precision, error_code text,
               error_message text, detail text, first_token_at timestamptz, result text, text text,
               number smallint, endpoint_id bigint, outcome text, why text, endpoint_name text,
               spent_prompt integer, spent_completion integer, spent_micros bigint,
               spent_estimated boolean, error_status smallint)
     -- The limit cuts nothing. With it the planner expects few rows, and looks jobs up by key.
     limit %(count)s
),
finished as (
    update scheduling_job j
       set status = i.status, finished_at = clock_timestamp(), updated_at = clock_timestamp(),
           lease_expires_at = null, attempts = i.number, first_token_at = i.first_token_at,
           prompt_tokens = i.prompt_tokens, completion_tokens = i.completion_tokens,
           error_code = i.error_code, error_message = i.error_message,
           error_status = nullif(i.error_status, 0),
           spent_micros = coalesce(j.spent_micros + i.spent_micros, i.spent_micros, j.spent_micros),
           spent_estimated = j.spent_estimated or i.spent_estimated
      from input i
     where j.id = i.id and j.lease_token = i.lease_token and j.status = 'processing'
    returning j.id, j.flow_id, j.level, j.cost, j.worker, j.started_at, j.tenant_id, j.user_id,
              j.model
),
results as (
    insert into scheduling_jobresult (job_id, body, text)
    select i.id, i.result, i.text from input i join finished using (id)
     -- A large result is stored already (scheduling/dispatch/large_results.py).
     where i.status = 'completed' and i.result is not null
        on conflict (job_id) do update set body = excluded.body, text = excluded.text
),
tries as (
    insert into scheduling_attempt (
        job_id, number, endpoint_id, worker, outcome, error_code, error_message, started_at,
        first_token_at, ended_at, why, endpoint_name, spent_micros)
    select i.id, i.number, i.endpoint_id, f.worker, i.outcome, i.error_code,
           case when i.detail = '' then i.error_message else i.detail end,
           f.started_at, i.first_token_at, clock_timestamp(), i.why::jsonb, i.endpoint_name,
           i.spent_micros
      from input i join finished f using (id)
     where i.outcome <> ''
),
-- Entries are appended, not added to a sum: two workers that finish for one tenant do not wait for
-- each other.
usage as (
    insert into scheduling_usageentry (
        day, tenant_id, user_id, model, endpoint, requests, estimated_requests, prompt_tokens,
        completion_tokens, spent_micros)
    select (clock_timestamp() at time zone 'utc')::date, f.tenant_id, f.user_id, f.model,
           i.endpoint_name, count(*), count(*) filter (where i.spent_estimated),
           sum(i.spent_prompt), sum(i.spent_completion), coalesce(sum(i.spent_micros), 0)
      from input i join finished f using (id)
     where i.endpoint_name <> ''
     group by f.tenant_id, f.user_id, f.model, i.endpoint_name
),
corrections as (
    select f.flow_id, f.level,
           sum(i.actual_cost - f.cost) / greatest(w.weight, {least_weight}) as amount
      from finished f
      join input i using (id)
      join scheduling_flow w on w.id = f.flow_id
     where i.actual_cost is not null
     group by f.flow_id, f.level, w.weight
),
{settlement corrections},
lengths as (
    select f.flow_id, f.model, count(*) as samples, avg(i.completion_tokens) as mean
      from finished f join input i using (id)
     where i.status = 'completed' and i.completion_tokens is not null
     group by f.flow_id, f.model
),
learned as (
    insert into scheduling_outputestimate as e (flow_id, model, mean, samples, updated_at)
    select l.flow_id, l.model, l.mean, l.samples, clock_timestamp()
      from lengths l
     where (select count(*) from settled) >= 0
     order by l.flow_id, l.model
        on conflict (flow_id, model) do update
       set mean = e.mean + (excluded.mean - e.mean)
               * excluded.samples
               / greatest(excluded.samples, least(e.samples + excluded.samples, %(window)s)),
           samples = e.samples + excluded.samples, updated_at = excluded.updated_at
)
select id from finished
