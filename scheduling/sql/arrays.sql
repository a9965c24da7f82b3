-- A group of jobs as arrays, one element a job: what submit.sql stores for the doors.
(select *
   from unnest(
            %(id)s::uuid[], %(level)s::smallint[], %(model)s::text[], %(kind)s::text[],
            %(source)s::text[], %(stream)s::boolean[], %(tenant_id)s::uuid[],
            %(user_id)s::uuid[], %(flow_id)s::bigint[], %(cost)s::double precision[],
            %(due_at)s::timestamptz[], %(deadline_at)s::timestamptz[],
            %(max_attempts)s::smallint[], %(sequence_key)s::uuid[], %(origin)s::text[],
            %(request_id)s::text[], %(body)s::text[], %(priority_reason)s::text[],
            %(backlog)s::boolean[], %(affinity)s::text[], %(allow_fallback)s::boolean[]
        ) with ordinality as a(
            id, level, model, kind, source, stream, tenant_id, user_id, flow_id, cost, due_at,
            deadline_at, max_attempts, sequence_key, origin, request_id, body, priority_reason,
            backlog, affinity, allow_fallback, place))
