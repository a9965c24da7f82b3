-- A group of jobs as one JSON array, an object a job: submit.sql stores them for the doors. One
-- JSON parameter costs a process a tenth of the time that one array a column does. A deadline that
-- counts from the submit is moved to this server's clock: `sent_at` is the submitter's time now.
(select id, level, model, api, source, stream, tenant_id, user_id, flow_id, cost, due_at,
        case when due_at is null then deadline_at + (now() - %(sent_at)s::timestamptz)
             else deadline_at end as deadline_at,
        coalesce(max_attempts, %(max_attempts)s) as max_attempts, sequence_key,
        origin, request_id, body, priority_reason, backlog, affinity, allow_fallback,
        ordinality as place
   from rows from (json_to_recordset(%(jobs)s::json) as (
            id uuid, level smallint, model text, api text, source text, stream boolean,
            tenant_id uuid, user_id uuid, flow_id bigint, cost double precision,
            due_at timestamptz, deadline_at timestamptz, max_attempts smallint, sequence_key uuid,
            origin text, request_id text, body text, priority_reason text, backlog boolean,
            affinity text, allow_fallback boolean)) with ordinality)
