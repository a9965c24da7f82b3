-- Fold usage entries into their days. Each entry counts once, because its deletion and its addition
-- commit together. Days are written in the order of their keys, so that two workers that fold at a
-- time cannot deadlock.
with taken as (
    delete from scheduling_usageentry
     where id in (select id from scheduling_usageentry
                   order by id limit %(limit)s for update skip locked)
    returning *
),
summed as (
    select day, tenant_id, user_id, model, endpoint, sum(requests) as requests,
           sum(estimated_requests) as estimated_requests, sum(prompt_tokens) as prompt_tokens,
           sum(completion_tokens) as completion_tokens, sum(spent_micros) as spent_micros
      from taken
     group by day, tenant_id, user_id, model, endpoint
     order by day, tenant_id, user_id, model, endpoint
),
folded as (
    insert into scheduling_dailyusage as u (
        day, tenant_id, user_id, model, endpoint, requests, estimated_requests, prompt_tokens,
        completion_tokens, spent_micros)
    select * from summed
        on conflict (day, tenant_id, user_id, model, endpoint) do update
       set requests = u.requests + excluded.requests,
           estimated_requests = u.estimated_requests + excluded.estimated_requests,
           prompt_tokens = u.prompt_tokens + excluded.prompt_tokens,
           completion_tokens = u.completion_tokens + excluded.completion_tokens,
           spent_micros = u.spent_micros + excluded.spent_micros
)
select count(*) from taken
