-- Lease the next jobs of one level in fair order, among models that have room. Of each model only
-- jobs of those APIs are taken that the endpoints with room serve.
--
-- Index job_claim (level, model, fair_tag, id) where status = 'queued': each model's next jobs are
-- read directly, and no row that cannot run. The lateral subquery is materialised so that its locks
-- are taken once. The level's clock follows the highest tag claimed.
with room as (
    select * from unnest(%(models)s::text[], %(slots)s::integer[], %(apis)s::text[])
                as r(model, slots, apis)
),
heads as materialized (
    select h.id, h.fair_tag
      from room
     cross join lateral (
           select j.id, j.fair_tag
             from scheduling_job j
            where j.level = %(level)s and j.model = room.model and j.status = 'queued'
              and j.api = any(string_to_array(room.apis, ','))
              and (j.deadline_at is null or j.deadline_at > now())
            order by j.fair_tag, j.id
            limit least(room.slots, %(limit)s)
              for update skip locked) h
),
chosen as materialized (
    select id from heads order by fair_tag, id limit %(limit)s
),
claimed as (
    update scheduling_job j
       set status = 'processing', attempts = j.attempts + 1, worker = %(worker)s,
           lease_token = gen_random_uuid(),
           lease_expires_at = now() + make_interval(secs => %(lease_seconds)s),
           started_at = now(), first_token_at = null, updated_at = now()
      from chosen
     where j.id = chosen.id
    returning j.*
),
clock as (
    update scheduling_levelclock c
       set virtual_time = latest.fair_tag
      from (select max(fair_tag) as fair_tag from claimed) latest
     where c.level = %(level)s and c.virtual_time < latest.fair_tag
)
select c.id, c.level, c.lease_token, c.attempts, c.max_attempts, c.model, c.api, c.source,
       c.stream, c.origin, c.request_id, c.flow_id, c.sequence_key, c.cost, c.created_at,
       c.started_at, c.deadline_at, c.affinity, c.allow_fallback, p.body
  from claimed c join scheduling_jobpayload p on p.job_id = c.id
 order by c.fair_tag, c.id
